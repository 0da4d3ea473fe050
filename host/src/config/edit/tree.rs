#![forbid(unsafe_code)]
//! Walks over a document: find, make, change and remove what a dotted key names.

use toml_edit::{ArrayOfTables, InlineTable, Item, Table, TableLike, Value};

use super::{EditError, steps, unknown};
use crate::config::keys::{self, Found, Key};

/// The table at `path` below `item`; tables that are missing are made, and so is the next element of
/// a list.
pub(super) fn place<'a>(
    item: &'a mut Item,
    path: &[&str],
    key: &str,
) -> Result<&'a mut dyn TableLike, EditError> {
    let not_there = |message: String| EditError::Value {
        key: key.into(),
        message,
        hint: "`wxc config show` shows what there is".into(),
    };
    let Some((step, rest)) = path.split_first() else {
        return item.as_table_like_mut().ok_or_else(|| not_there("its place is not a table".into()));
    };
    if item.is_table_like() {
        let table = item.as_table_like_mut().ok_or_else(|| unknown(key))?;
        let is_list = rest.first().is_some_and(|next| next.parse::<usize>().is_ok());
        return place(table.entry(step).or_insert_with(|| fresh(is_list)), rest, key);
    }
    let index: usize = step.parse().map_err(|_| not_there(format!("there is no {step}")))?;
    let none = |length: usize| not_there(format!("there is no entry {index}: the list has {length}"));
    let element: &mut dyn TableLike = match item {
        Item::ArrayOfTables(tables) => {
            if index == tables.len() {
                tables.push(Table::new());
            }
            let length = tables.len();
            tables.get_mut(index).ok_or_else(|| none(length))?
        }
        Item::Value(Value::Array(array)) => {
            if index == array.len() {
                array.push(InlineTable::new());
            }
            let length = array.len();
            let value = array.get_mut(index).ok_or_else(|| none(length))?;
            value.as_inline_table_mut().ok_or_else(|| not_there("it is not a table".into()))?
        }
        _ => return Err(not_there("it is not a list".into())),
    };
    match rest {
        [] => Ok(element),
        // No key lies deeper below an element of a list.
        _ => Err(unknown(key)),
    }
}

/// A table, or list of tables, that was missing; a table shows only when it gets keys of its own.
fn fresh(is_list: bool) -> Item {
    if is_list {
        return Item::ArrayOfTables(ArrayOfTables::new());
    }
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

/// Set a value in its table; a comment behind the old one stays.
pub(super) fn put(table: &mut dyn TableLike, name: &str, mut value: Value) {
    if let Some(old) = table.get_mut(name).and_then(Item::as_value_mut) {
        *value.decor_mut() = old.decor().clone();
        *old = value;
        return;
    }
    table.insert(name, Item::Value(value));
}

/// Take the value at `path` away, and tables that are empty then.
pub(super) fn remove(item: &mut Item, path: &[String]) -> bool {
    let Some((step, rest)) = path.split_first() else { return false };
    if let Some(table) = item.as_table_like_mut() {
        // A free name may stand there as one key or as nested tables.
        let whole = path.join(".");
        if table.remove(&whole).is_some() {
            return true;
        }
        let nested: Vec<String> = step.split('.').map(String::from).chain(rest.iter().cloned()).collect();
        let Some((first, rest)) = nested.split_first() else { return false };
        let Some(below) = table.get_mut(first) else { return false };
        let removed = remove(below, rest);
        let empty = match below {
            Item::ArrayOfTables(tables) => tables.is_empty(),
            below => below.as_table_like().is_some_and(TableLike::is_empty),
        };
        if removed && empty {
            let _empty = table.remove(first);
        }
        return removed;
    }
    let Ok(index) = step.parse::<usize>() else { return false };
    match item {
        Item::ArrayOfTables(tables) if index < tables.len() && rest.is_empty() => {
            tables.remove(index);
            true
        }
        Item::ArrayOfTables(tables) => match (tables.get_mut(index), rest) {
            (Some(table), [name]) => table.remove(name).is_some(),
            _ => false,
        },
        Item::Value(Value::Array(array)) if index < array.len() => match rest {
            [] => {
                let _removed = array.remove(index);
                true
            }
            [name] => {
                let table = array.get_mut(index).and_then(Value::as_inline_table_mut);
                table.is_some_and(|table| table.remove(name).is_some())
            }
            _ => false,
        },
        _ => false,
    }
}

/// The value at `path` as text.
pub(super) fn lookup(item: &Item, path: &[&str]) -> Option<String> {
    let Some((step, rest)) = path.split_first() else { return Some(plain(item)) };
    match item {
        Item::ArrayOfTables(tables) => lookup(&Item::Table(tables.get(step.parse().ok()?)?.clone()), rest),
        Item::Value(Value::Array(array)) => {
            lookup(&Item::Value(array.get(step.parse().ok()?)?.clone()), rest)
        }
        item => {
            let table = item.as_table_like()?;
            match table.get(&path.join(".")) {
                Some(whole) => Some(plain(whole)),
                None => lookup(table.get(step)?, rest),
            }
        }
    }
}

/// A word without quotes; everything else as in TOML.
pub(super) fn plain(item: &Item) -> String {
    match item {
        Item::Value(Value::String(text)) => text.value().clone(),
        Item::Value(value) => {
            let mut value = value.clone();
            value.decor_mut().clear();
            value.to_string()
        }
        Item::Table(table) => table.to_string().trim().to_string(),
        Item::ArrayOfTables(tables) => {
            let tables: Vec<String> =
                tables.iter().map(|table| table.to_string().trim().to_string()).collect();
            tables.join("\n\n")
        }
        Item::None => String::new(),
    }
}

/// All values below `item` with their keys and rows.
pub(super) fn collect(item: &Item, path: &mut Vec<String>, into: &mut Vec<(String, &'static Key, String)>) {
    if let Some(table) = item.as_table_like() {
        for (name, item) in table.iter() {
            path.push(name.into());
            collect(item, path, into);
            path.pop();
        }
        return;
    }
    let key = path.join(".");
    if let Some(Found::Key(row)) = keys::find(&steps(&key)) {
        return into.push((key, row, plain(item)));
    }
    let elements: Vec<Item> = match item {
        Item::ArrayOfTables(tables) => tables.iter().map(|table| Item::Table(table.clone())).collect(),
        Item::Value(Value::Array(array)) => array.iter().map(|value| Item::Value(value.clone())).collect(),
        _ => Vec::new(),
    };
    for (index, element) in elements.iter().enumerate() {
        path.push(index.to_string());
        collect(element, path, into);
        path.pop();
    }
}
