//! An interface: what it is, who has it, its types, its functions.

use wit_parser::{Function, FunctionKind, InterfaceId, PackageId, Resolve, Type, TypeDefKind, TypeId};

use super::name::{heading, is_used, linked, place, short, written};
use super::{Explain, cell, code, prose, push, since, world};

pub(super) fn section(resolve: &Resolve, id: InterfaceId, explain: Explain<'_>) -> String {
    let interface = &resolve.interfaces[id];
    let name = short(resolve, id);
    let mut text = format!("\n## {}\n", code(&name));
    push(&mut text, &prose(&interface.docs));
    push(&mut text, &facts(resolve, id, explain));
    let (Some(here), own) = (interface.package, interface.types.values()) else { return text };
    for ty in own.filter(|ty| !is_used(resolve, **ty)) {
        text.push_str(&described(resolve, *ty, &name, here));
    }
    for function in interface.functions.values().filter(|function| resource(function).is_none()) {
        let title = format!("function `{name}.{}`", function.name);
        text.push_str(&called(resolve, function, "###", &title));
    }
    text
}

/// Since when, who has it, whether it is a permission, and what it takes from elsewhere.
fn facts(resolve: &Resolve, id: InterfaceId, explain: Explain<'_>) -> String {
    let interface = &resolve.interfaces[id];
    let Some(here) = interface.package else { return String::new() };
    let mut facts = vec![since(&interface.stability)];
    if world::is_imported(resolve, id) {
        facts.push(match explain(&short(resolve, id)) {
            Some(words) => format!("Importing it is a permission: *{words}*."),
            None => "Importing it grants nothing.".into(),
        });
    }
    facts.extend(world::those_with(resolve, id, here));
    let used = interface.types.values().filter(|ty| is_used(resolve, **ty)).filter_map(|ty| {
        let name = resolve.types[*ty].name.as_ref()?;
        Some(format!("[{}]({})", code(name), place(resolve, *ty, here)?))
    });
    let used: Vec<String> = used.collect();
    if !used.is_empty() {
        facts.push(format!("Types of others: {}.", used.join(", ")));
    }
    facts.retain(|fact| !fact.is_empty());
    facts.join(" ")
}

/// A type with all its cases or fields, and a resource with its methods.
fn described(resolve: &Resolve, id: TypeId, interface: &str, here: PackageId) -> String {
    let definition = &resolve.types[id];
    let Some(title) = heading(resolve, id, interface) else { return String::new() };
    let (kind, name) = title.split_once(' ').unwrap_or(("", &title));
    let mut text = format!("\n### {kind} {}\n", code(name));
    push(&mut text, &prose(&definition.docs));
    push(&mut text, &since(&definition.stability));
    if let TypeDefKind::Type(ty) | TypeDefKind::List(ty) = &definition.kind {
        let list = matches!(definition.kind, TypeDefKind::List(_));
        let what = linked(resolve, ty, here);
        push(&mut text, &if list { format!("A list of {what}.") } else { format!("A {what}.") });
    }
    push(&mut text, &parts(resolve, &definition.kind, here));
    text + &methods(resolve, id)
}

/// What can be done with a resource.
fn methods(resolve: &Resolve, id: TypeId) -> String {
    let of = resolve.types[id].name.as_deref().unwrap_or_default();
    let all = resolve.interfaces.iter().flat_map(|(_, interface)| interface.functions.values());
    let own = all.filter(|function| resource(function) == Some(id)).map(|function| {
        let title = match function.kind {
            FunctionKind::Constructor(_) => format!("constructor of `{of}`"),
            FunctionKind::Static(_) | FunctionKind::AsyncStatic(_) => {
                format!("static function `{of}.{}`", function.item_name())
            }
            _ => format!("method `{of}.{}`", function.item_name()),
        };
        called(resolve, function, "####", &title)
    });
    own.collect()
}

/// The table of cases or fields.
fn parts(resolve: &Resolve, kind: &TypeDefKind, here: PackageId) -> String {
    let ty = |ty: &Option<Type>| ty.as_ref().map_or(String::new(), |ty| linked(resolve, ty, here));
    let (head, rows): (&str, Vec<String>) = match kind {
        TypeDefKind::Record(record) => (
            "| field | type | what it is |\n|---|---|---|\n",
            record
                .fields
                .iter()
                .map(|f| row(&[code(&f.name), ty(&Some(f.ty)), cell(&prose(&f.docs))]))
                .collect(),
        ),
        TypeDefKind::Variant(variant) => (
            "| case | with | what it means |\n|---|---|---|\n",
            variant.cases.iter().map(|c| row(&[code(&c.name), ty(&c.ty), cell(&prose(&c.docs))])).collect(),
        ),
        TypeDefKind::Enum(one) => (
            "| case | what it means |\n|---|---|\n",
            one.cases.iter().map(|c| row(&[code(&c.name), cell(&prose(&c.docs))])).collect(),
        ),
        TypeDefKind::Flags(flags) => (
            "| flag | what it means |\n|---|---|\n",
            flags.flags.iter().map(|f| row(&[code(&f.name), cell(&prose(&f.docs))])).collect(),
        ),
        _ => return String::new(),
    };
    head.to_owned() + &rows.concat()
}

/// A row of a table.
pub(super) fn row(cells: &[String]) -> String {
    let cells = cells.iter().map(|cell| if cell.is_empty() { " ".into() } else { format!(" {cell} ") });
    format!("|{}|\n", cells.collect::<Vec<String>>().join("|"))
}

/// The resource that a function belongs to.
fn resource(function: &Function) -> Option<TypeId> {
    match function.kind {
        FunctionKind::Method(id)
        | FunctionKind::AsyncMethod(id)
        | FunctionKind::Static(id)
        | FunctionKind::AsyncStatic(id)
        | FunctionKind::Constructor(id) => Some(id),
        FunctionKind::Freestanding | FunctionKind::AsyncFreestanding => None,
    }
}

/// A function, as it is called.
fn called(resolve: &Resolve, function: &Function, level: &str, title: &str) -> String {
    let mut text = format!("\n{level} {title}\n");
    push(&mut text, &format!("```wit\n{}\n```", signature(resolve, function)));
    push(&mut text, &prose(&function.docs));
    push(&mut text, &since(&function.stability));
    text
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let method = matches!(function.kind, FunctionKind::Method(_) | FunctionKind::AsyncMethod(_));
    let parameters: Vec<String> = function
        .params
        .iter()
        .skip(usize::from(method))
        .map(|param| format!("{}: {}", param.name, written(resolve, &param.ty)))
        .collect();
    let parameters = parameters.join(", ");
    if matches!(function.kind, FunctionKind::Constructor(_)) {
        return format!("constructor({parameters});");
    }
    let result = function.result.map_or(String::new(), |ty| format!(" -> {}", written(resolve, &ty)));
    let word = match function.kind {
        FunctionKind::AsyncFreestanding | FunctionKind::AsyncMethod(_) => "async func",
        FunctionKind::Static(_) => "static func",
        FunctionKind::AsyncStatic(_) => "static async func",
        _ => "func",
    };
    format!("{}: {word}({parameters}){result};", function.item_name())
}
