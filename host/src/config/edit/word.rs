#![forbid(unsafe_code)]
//! A word of a command line as a TOML value.

use toml_edit::{Array, ArrayOfTables, Table, Value};

use super::{EditError, keys_below};
use crate::config::keys::{Key, Kind};

/// A word of a command line as a value of the row's type.
pub(super) fn to_toml(row: &Key, key: &str, word: &str) -> Result<Value, EditError> {
    let wrong = |message: String| EditError::Value {
        key: key.into(),
        message,
        hint: format!("give {}, for example {}", row.form, row.example),
    };
    let quoted = word.escape_debug();
    match row.kind {
        Kind::Flag => match word {
            "true" | "yes" | "on" | "1" => Ok(true.into()),
            "false" | "no" | "off" | "0" => Ok(false.into()),
            _ => Err(wrong(format!("\"{quoted}\" is neither true nor false"))),
        },
        Kind::Number => match word.parse::<i64>() {
            Ok(number) => Ok(number.into()),
            Err(_) => Err(wrong(format!("\"{quoted}\" is not a number"))),
        },
        Kind::NumberOrText => Ok(word.parse::<i64>().map_or_else(|_| word.into(), Value::from)),
        Kind::Text => Ok(word.into()),
        Kind::Texts | Kind::Numbers | Kind::Command if word.trim_start().starts_with('[') => {
            word.trim().parse::<Value>().map_err(|_| wrong(format!("\"{quoted}\" is not a list as in TOML")))
        }
        Kind::Texts => Ok(Value::Array(parts(word, ',').collect::<Array>())),
        Kind::Command => Ok(Value::Array(parts(word, ' ').collect::<Array>())),
        Kind::Numbers => {
            let numbers = parts(word, ',').map(|part| part.parse::<i64>());
            let numbers: Result<Array, _> = numbers.collect();
            numbers.map(Value::Array).map_err(|_| wrong(format!("\"{quoted}\" is not a list of numbers")))
        }
    }
}

fn parts(word: &str, separator: char) -> impl Iterator<Item = &str> {
    word.split(separator).map(str::trim).filter(|part| !part.is_empty())
}

pub(super) fn list_of_tables(key: &str, word: &str) -> Result<ArrayOfTables, EditError> {
    let wrong = || EditError::Value {
        key: key.into(),
        message: "this is a list of tables".into(),
        hint: format!(
            "give it as TOML, as in '[{{ ... }}]', or set single keys such as {key}.0.{}",
            first_below(key)
        ),
    };
    let Ok(Value::Array(array)) = word.trim().parse::<Value>() else { return Err(wrong()) };
    let tables = array.into_iter().map(|value| match value {
        Value::InlineTable(table) => Ok(table.into_table()),
        _ => Err(wrong()),
    });
    tables.collect::<Result<Vec<Table>, _>>().map(|tables| tables.into_iter().collect())
}

fn first_below(key: &str) -> String {
    keys_below(&[key, "#"]).into_iter().next().unwrap_or_default()
}
