//! How types are written, and where they are described.

use wit_parser::{Handle, InterfaceId, PackageId, Resolve, Type, TypeDefKind, TypeId, TypeOwner};

use super::{cell, code};
use crate::markdown::slug;

/// A type as the contract writes it.
pub(super) fn written(resolve: &Resolve, ty: &Type) -> String {
    let plain = match ty {
        Type::Bool => "bool",
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::S8 => "s8",
        Type::S16 => "s16",
        Type::S32 => "s32",
        Type::S64 => "s64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::ErrorContext => "error-context",
        Type::Id(id) => return of(resolve, *id),
    };
    plain.to_owned()
}

fn of(resolve: &Resolve, id: TypeId) -> String {
    let definition = &resolve.types[id];
    if let Some(name) = &definition.name {
        return name.clone();
    }
    let one = |ty: &Type| written(resolve, ty);
    let perhaps = |word: &str, ty: &Option<Type>| match ty {
        Some(ty) => format!("{word}<{}>", one(ty)),
        None => word.to_owned(),
    };
    match &definition.kind {
        // A resource is owned where nothing else is said.
        TypeDefKind::Handle(Handle::Own(id)) => of(resolve, *id),
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", of(resolve, *id)),
        TypeDefKind::Option(ty) => format!("option<{}>", one(ty)),
        TypeDefKind::List(ty) => format!("list<{}>", one(ty)),
        TypeDefKind::Map(key, value) => format!("map<{}, {}>", one(key), one(value)),
        TypeDefKind::FixedLengthList(ty, length) => format!("list<{}, {length}>", one(ty)),
        TypeDefKind::Future(ty) => perhaps("future", ty),
        TypeDefKind::Stream(ty) => perhaps("stream", ty),
        TypeDefKind::Tuple(tuple) => {
            format!("tuple<{}>", tuple.types.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Result(result) => match (&result.ok, &result.err) {
            (None, None) => "result".into(),
            (Some(ok), None) => format!("result<{}>", one(ok)),
            (ok, Some(err)) => {
                format!("result<{}, {}>", ok.as_ref().map_or("_".into(), one), one(err))
            }
        },
        TypeDefKind::Type(ty) => one(ty),
        // The others have names.
        other => other.as_str().to_owned(),
    }
}

/// A type in a table: as it is written, with a link to the first type in it that has a name.
pub(super) fn linked(resolve: &Resolve, ty: &Type, here: PackageId) -> String {
    let text = code(&cell(&written(resolve, ty)));
    match named(resolve, ty).and_then(|id| place(resolve, id, here)) {
        Some(place) => format!("[{text}]({place})"),
        None => text,
    }
}

fn named(resolve: &Resolve, ty: &Type) -> Option<TypeId> {
    let Type::Id(id) = ty else { return None };
    let definition = &resolve.types[*id];
    if definition.name.is_some() {
        return Some(*id);
    }
    let one = |ty: &Type| named(resolve, ty);
    match &definition.kind {
        TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => Some(*id),
        TypeDefKind::Option(ty) | TypeDefKind::List(ty) | TypeDefKind::FixedLengthList(ty, _) => one(ty),
        TypeDefKind::Map(key, value) => one(key).or_else(|| one(value)),
        TypeDefKind::Tuple(tuple) => tuple.types.iter().find_map(one),
        TypeDefKind::Result(result) => result.ok.iter().chain(&result.err).find_map(one),
        TypeDefKind::Future(ty) | TypeDefKind::Stream(ty) => ty.iter().find_map(one),
        TypeDefKind::Type(ty) => one(ty),
        _ => None,
    }
}

/// The type that a `use` brought in, or the type itself.
pub(super) fn origin(resolve: &Resolve, id: TypeId) -> TypeId {
    match resolve.types[id].kind {
        TypeDefKind::Type(Type::Id(other)) if is_used(resolve, id) => origin(resolve, other),
        _ => id,
    }
}

/// Whether a type is there because of a `use`: one of the same or another name, of another interface.
pub(super) fn is_used(resolve: &Resolve, id: TypeId) -> bool {
    let definition = &resolve.types[id];
    match definition.kind {
        TypeDefKind::Type(Type::Id(other)) => {
            resolve.types[other].name.is_some() && resolve.types[other].owner != definition.owner
        }
        _ => false,
    }
}

/// Where a type that has a name is described, as a link from a page of this package.
pub(super) fn place(resolve: &Resolve, id: TypeId, here: PackageId) -> Option<String> {
    let id = origin(resolve, id);
    let TypeOwner::Interface(interface) = resolve.types[id].owner else { return None };
    let heading = heading(resolve, id, &short(resolve, interface))?;
    Some(format!("{}#{}", page(resolve, interface, here), slug(&heading)))
}

/// The heading of a type, without the marks of code: its kind, its interface and its name.
pub(super) fn heading(resolve: &Resolve, id: TypeId, interface: &str) -> Option<String> {
    let definition = &resolve.types[id];
    let kind = match definition.kind {
        TypeDefKind::Type(_) | TypeDefKind::List(_) => "type",
        ref other => other.as_str(),
    };
    Some(format!("{kind} {interface}.{}", definition.name.as_ref()?))
}

/// The name of an interface within its package.
pub(super) fn short(resolve: &Resolve, interface: InterfaceId) -> String {
    resolve.interfaces[interface].name.clone().unwrap_or_default()
}

/// The page of an interface, seen from one of a package: nothing when it is that one.
pub(super) fn page(resolve: &Resolve, interface: InterfaceId, here: PackageId) -> String {
    match resolve.interfaces[interface].package {
        Some(package) if package != here => format!("{}.md", resolve.packages[package].name.name),
        _ => String::new(),
    }
}
