//! Our `.proto` files against the tables of Nakama's messages and enums.

use kizuna_protocol::DESCRIPTORS;
use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use std::collections::BTreeSet;

const MESSAGES: &str = include_str!("../../tests/contract/messages.tsv");
const ENUMS: &str = include_str!("../../tests/contract/enums.tsv");

/// The rows of a table, without its head.
fn rows(table: &str) -> Vec<String> {
    table.lines().skip(1).map(str::to_owned).collect()
}

fn assert_same(ours: &[String], table: &[String]) {
    let (ours, table) = (BTreeSet::from_iter(ours), BTreeSet::from_iter(table));
    let missing: Vec<_> = table.difference(&ours).collect();
    let extra: Vec<_> = ours.difference(&table).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:#?}\nnot in the table: {extra:#?}");
}

#[test]
fn every_message_and_field_is_there_and_nothing_else() {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("the build script wrote it");
    let mut ours = Vec::new();
    for file in files.file.iter().filter(|file| file.package().starts_with("nakama.")) {
        for message in &file.message_type {
            message_rows(file.package(), message.name(), message, &mut ours);
        }
    }
    let table: Vec<_> = rows(MESSAGES).into_iter().filter(|row| !row.starts_with("google.")).collect();
    assert_same(&ours, &table);
    assert_eq!(ours.len(), table.len());
}

#[test]
fn the_fields_of_a_message_are_declared_in_the_order_of_the_table() {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("the build script wrote it");
    for message in files.file.iter().flat_map(|file| &file.message_type) {
        assert!(message.field.is_sorted_by_key(FieldDescriptorProto::number), "{}", message.name());
    }
}

#[test]
fn every_enum_value_is_there_and_nothing_else() {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("the build script wrote it");
    let mut ours = Vec::new();
    for file in files.file.iter().filter(|file| file.package().starts_with("nakama.")) {
        for outer in &file.enum_type {
            enum_rows(file.package(), outer.name(), outer, &mut ours);
        }
        for message in &file.message_type {
            nested_enum_rows(file.package(), message.name(), message, &mut ours);
        }
    }
    assert_same(&ours, &rows(ENUMS));
}

fn message_rows(package: &str, name: &str, message: &DescriptorProto, into: &mut Vec<String>) {
    if message.field.is_empty() {
        into.push(format!("{package}\t{name}\t-\t-\t-\tempty\t-"));
    }
    for field in &message.field {
        let (kind, label) = kind_and_label(message, field);
        // The table's JSON names are those that the server writes, which are the names of the fields.
        let own = field.name();
        into.push(format!("{package}\t{name}\t{own}\t{}\t{kind}\t{label}\t{own}", field.number()));
    }
    for nested in message.nested_type.iter().filter(|nested| !is_map_entry(nested)) {
        message_rows(package, &format!("{name}.{}", nested.name()), nested, into);
    }
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry)
}

fn kind_and_label(message: &DescriptorProto, field: &FieldDescriptorProto) -> (String, String) {
    let entry = message.nested_type.iter().find(|nested| {
        is_map_entry(nested) && field.type_name().ends_with(&format!(".{}.{}", message.name(), nested.name()))
    });
    if let Some(entry) = entry {
        return (format!("map<{},{}>", kind(&entry.field[0]), kind(&entry.field[1])), "map".to_owned());
    }
    let label = match field.oneof_index {
        Some(oneof) => {
            let oneof = usize::try_from(oneof).expect("an index is not negative");
            format!("oneof:{}", message.oneof_decl[oneof].name())
        }
        None if field.label() == Label::Repeated => "repeated".to_owned(),
        None => "single".to_owned(),
    };
    assert!(!field.proto3_optional(), "{}.{}", message.name(), field.name());
    (kind(field), label)
}

fn kind(field: &FieldDescriptorProto) -> String {
    let scalar = match field.r#type() {
        Type::Message | Type::Enum => return field.type_name().trim_start_matches('.').to_owned(),
        Type::String => "string",
        Type::Bytes => "bytes",
        Type::Bool => "bool",
        Type::Int32 => "int32",
        Type::Uint32 => "uint32",
        Type::Int64 => "int64",
        Type::Double => "double",
        other => panic!("{}: {other:?} is in no table", field.name()),
    };
    scalar.to_owned()
}

fn nested_enum_rows(package: &str, name: &str, message: &DescriptorProto, into: &mut Vec<String>) {
    for nested in &message.enum_type {
        enum_rows(package, &format!("{name}.{}", nested.name()), nested, into);
    }
    for nested in &message.nested_type {
        nested_enum_rows(package, &format!("{name}.{}", nested.name()), nested, into);
    }
}

fn enum_rows(package: &str, name: &str, descriptor: &EnumDescriptorProto, into: &mut Vec<String>) {
    for value in &descriptor.value {
        into.push(format!("{package}\t{name}\t{}\t{}", value.name(), value.number()));
    }
}
