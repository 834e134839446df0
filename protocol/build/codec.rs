//! Writes the `JsonMessage` impl of every message. What the generated code calls is in `src/json/`.

use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt::Write as _,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The text of the impls and of `visit_messages`.
pub(crate) fn generate(files: &FileDescriptorSet) -> Result<String> {
    let mut messages = Vec::new();
    for file in &files.file {
        if file.package().starts_with("nakama.") {
            for message in &file.message_type {
                collect(message, file.package(), &rust_path(file.package()), &mut messages);
            }
        }
    }
    refuse_cycles(&messages)?;
    let mut code = String::new();
    for message in &messages {
        message.write_impl(&mut code)?;
    }
    writeln!(code, "/// Shows `visitor` every message of `proto/`, in the order of the files.")?;
    writeln!(code, "pub fn visit_messages(visitor: &mut impl MessageVisitor) {{")?;
    for message in &messages {
        writeln!(code, "visitor.visit::<{}>();", message.path)?;
    }
    writeln!(code, "}}")?;
    Ok(code)
}

/// A message and where prost puts it.
struct Message<'a> {
    descriptor: &'a DescriptorProto,
    /// `nakama.api.Outer.Inner`.
    name: String,
    /// `crate::nakama::api::outer::Inner`.
    path: String,
    /// The module of its nested types.
    module: String,
}

fn rust_path(package: &str) -> String {
    format!("crate::{}", package.replace('.', "::"))
}

fn collect<'a>(descriptor: &'a DescriptorProto, scope: &str, module: &str, into: &mut Vec<Message<'a>>) {
    if descriptor.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry) {
        return;
    }
    let name = format!("{scope}.{}", descriptor.name());
    let inner = format!("{module}::{}", snake_case(descriptor.name()));
    into.push(Message {
        descriptor,
        name: name.clone(),
        path: format!("{module}::{}", descriptor.name()),
        module: inner.clone(),
    });
    for nested in &descriptor.nested_type {
        collect(nested, &name, &inner, into);
    }
}

/// The reader recurses once for each level of messages: that is bounded only while no message contains itself.
fn refuse_cycles(messages: &[Message<'_>]) -> Result<()> {
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for message in messages {
        let fields = message.descriptor.field.iter().filter(|field| field.r#type() == Type::Message);
        uses.insert(&message.name, fields.map(|field| field.type_name().trim_start_matches('.')).collect());
    }
    // Leaves first: what is left when nothing can be taken away contains itself.
    while let Some(leaf) =
        uses.iter().find(|(_, used)| used.iter().all(|name| !uses.contains_key(name))).map(|(n, _)| *n)
    {
        uses.remove(leaf);
    }
    if uses.is_empty() { Ok(()) } else { Err(format!("messages that contain themselves: {:?}", uses.keys()).into()) }
}

/// What the JSON form distinguishes.
enum Kind<'a> {
    Scalar,
    Enum(String),
    Wrapper,
    Timestamp,
    Message(&'a str),
    Scalars,
    Messages(&'a str),
    Map,
}

impl<'a> Message<'a> {
    fn kind(&self, field: &'a FieldDescriptorProto) -> Result<Kind<'a>> {
        let type_name = field.type_name().trim_start_matches('.');
        let repeated = field.label() == Label::Repeated;
        Ok(match field.r#type() {
            Type::Message if self.is_map(type_name) => Kind::Map,
            Type::Message if repeated && type_name.starts_with("nakama.") => Kind::Messages(type_name),
            Type::Message if repeated => return Err(self.unknown_kind(field)),
            Type::Message => match type_name {
                "google.protobuf.Timestamp" => Kind::Timestamp,
                name if name.starts_with("google.protobuf.") && name.ends_with("Value") => Kind::Wrapper,
                name if name.starts_with("nakama.") => Kind::Message(name),
                _ => return Err(self.unknown_kind(field)),
            },
            Type::Enum if repeated => return Err(self.unknown_kind(field)),
            Type::Enum => Kind::Enum(rust_type(type_name)),
            Type::String | Type::Bytes | Type::Bool | Type::Int32 | Type::Uint32 | Type::Int64 | Type::Double => {
                if repeated {
                    Kind::Scalars
                } else {
                    Kind::Scalar
                }
            }
            _ => return Err(self.unknown_kind(field)),
        })
    }

    fn unknown_kind(&self, field: &FieldDescriptorProto) -> Box<dyn Error> {
        format!("{}.{}: the JSON codec has no rule for this kind of field", self.name, field.name()).into()
    }

    fn is_map(&self, type_name: &str) -> bool {
        let own = type_name.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix('.'));
        let nested = own.and_then(|name| self.descriptor.nested_type.iter().find(|nested| nested.name() == name));
        nested.and_then(|nested| nested.options.as_ref()).is_some_and(prost_types::MessageOptions::map_entry)
    }

    /// The oneof of `field`: its name and the path of the enum that prost makes of it.
    fn oneof(&self, field: &FieldDescriptorProto) -> Option<(&str, String)> {
        let name = self.descriptor.oneof_decl[usize::try_from(field.oneof_index?).ok()?].name();
        Some((name, format!("{}::{}", self.module, camel_case(name))))
    }

    fn write_impl(&self, code: &mut String) -> Result<()> {
        writeln!(code, "impl JsonMessage for {} {{", self.path)?;
        writeln!(code, "const NAME: &'static str = {:?};", self.name)?;
        self.write_writer(code)?;
        self.write_names(code)?;
        self.write_reader(code)?;
        self.write_text(code)?;
        writeln!(code, "}}")?;
        Ok(())
    }

    fn write_writer(&self, code: &mut String) -> Result<()> {
        writeln!(code, "fn write_json(&self, out: &mut Vec<u8>) {{ write::open(out);")?;
        for field in &self.descriptor.field {
            let key = format!("{:?}", format!("\"{}\":", field.name()));
            let place = format!("self.{}", field_ident(field.name()));
            if let Some((oneof, path)) = self.oneof(field) {
                let (holder, variant) = (field_ident(oneof), camel_case(field.name()));
                writeln!(
                    code,
                    "if let Some({path}::{variant}(value)) = &self.{holder} {{ write::member(out, {key}, value); }}"
                )?;
                continue;
            }
            let function = match self.kind(field)? {
                Kind::Scalar | Kind::Enum(_) => "scalar",
                Kind::Wrapper | Kind::Timestamp | Kind::Message(_) => "optional",
                Kind::Scalars | Kind::Messages(_) => "list",
                Kind::Map => "map",
            };
            writeln!(code, "write::{function}(out, {key}, &{place});")?;
        }
        writeln!(code, "write::close(out); }}")?;
        Ok(())
    }

    /// Both spellings of each name, by length first: a wrong name costs two comparisons.
    fn write_names(&self, code: &mut String) -> Result<()> {
        let mut lengths: BTreeMap<usize, BTreeMap<&str, usize>> = BTreeMap::new();
        for (index, field) in self.descriptor.field.iter().enumerate() {
            for name in [field.name(), field.json_name()] {
                lengths.entry(name.len()).or_default().insert(name, index);
            }
        }
        writeln!(code, "fn field_index(name: &str) -> Option<u32> {{ match name.len() {{")?;
        for (length, names) in lengths {
            writeln!(code, "{length} => match name {{")?;
            for (name, index) in names {
                writeln!(code, "{name:?} => Some({index}),")?;
            }
            writeln!(code, "_ => None }},")?;
        }
        writeln!(code, "_ => None }} }}")?;
        Ok(())
    }

    fn write_reader(&self, code: &mut String) -> Result<()> {
        if self.descriptor.field.len() > 64 || self.descriptor.oneof_decl.len() > 8 {
            return Err(format!("{}: read::Members counts 64 fields and 8 oneofs", self.name).into());
        }
        writeln!(code, "fn merge_json(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {{")?;
        writeln!(code, "let mut members = reader.members()?;")?;
        writeln!(code, "while let Some(name) = members.next(reader)? {{")?;
        writeln!(
            code,
            "let Some(index) = Self::field_index(&name.text) else {{ reader.unknown_member(&name)?; continue; }};"
        )?;
        writeln!(code, "if members.is_absent(reader, index, &name)? {{ continue; }}")?;
        writeln!(code, "match index {{")?;
        for (index, field) in self.descriptor.field.iter().enumerate() {
            let (ident, json_name) = (field_ident(field.name()), field.json_name());
            if let Some((oneof, path)) = self.oneof(field) {
                let (holder, variant) = (field_ident(oneof), camel_case(field.name()));
                let number = field.oneof_index();
                writeln!(code, "{index} => {{ members.claim(reader, {number}, &name, \"{}.{oneof}\")?;", self.name)?;
                writeln!(code, "self.{holder} = Some({path}::{variant}(Value::read(reader, {json_name:?})?)); }}")?;
                continue;
            }
            let value = match self.kind(field)? {
                Kind::Scalar => format!("Value::read(reader, {json_name:?})?"),
                Kind::Enum(path) => {
                    format!("reader.enumeration({json_name:?}, |name| {path}::from_str_name(name).map(i32::from))?")
                }
                // A wrapper or a timestamp is a message with a rule of its own, whose field is called `value`.
                Kind::Wrapper | Kind::Timestamp | Kind::Message(_) => "Some(Value::read(reader, \"value\")?)".into(),
                Kind::Scalars | Kind::Messages(_) => format!("reader.list({json_name:?})?"),
                Kind::Map => "reader.map()?".into(),
            };
            writeln!(code, "{index} => self.{ident} = {value},")?;
        }
        writeln!(code, "_ => {{}} }} }} Ok(()) }}")?;
        Ok(())
    }

    fn write_text(&self, code: &mut String) -> Result<()> {
        if self.descriptor.field.is_empty() {
            return Ok(());
        }
        writeln!(code, "fn set_path(&mut self, path: &str, values: &[&str]) -> Result<bool, JsonError> {{")?;
        writeln!(code, "let (name, rest) = text::first(path);")?;
        writeln!(code, "let Some(index) = Self::field_index(name) else {{ return Ok(false); }};")?;
        writeln!(code, "let at = text::At {{ name, rest, values, field: FIELDS[index as usize] }};")?;
        let names: Vec<_> = self.descriptor.field.iter().map(FieldDescriptorProto::name).collect();
        writeln!(code, "const FIELDS: &[&str] = &{names:?};")?;
        writeln!(code, "match index {{")?;
        for (index, field) in self.descriptor.field.iter().enumerate() {
            let place = format!("self.{}", field_ident(field.name()));
            let kind = self.kind(field)?;
            let call = match (self.oneof(field), kind) {
                (_, Kind::Messages(name)) => format!("at.unsupported({name:?})"),
                (Some(_), Kind::Message(name)) => format!("at.unsupported({name:?})"),
                (Some((oneof, path)), Kind::Scalar) => {
                    let (holder, variant) = (field_ident(oneof), camel_case(field.name()));
                    format!("at.oneof(&mut self.{holder}, {oneof:?}, {path}::{variant})")
                }
                (Some(_), _) => return Err(self.unknown_kind(field)),
                (None, Kind::Scalar) => format!("at.scalar(&mut {place})"),
                (None, Kind::Enum(path)) => {
                    format!("at.enumeration(&mut {place}, |name| {path}::from_str_name(name).map(i32::from))")
                }
                (None, Kind::Wrapper) => format!("at.wrapper(&mut {place})"),
                (None, Kind::Timestamp) => format!("at.timestamp(&mut {place})"),
                (None, Kind::Message(name)) => format!("at.message(&mut {place}, {name:?})"),
                (None, Kind::Scalars) => format!("at.list(&mut {place})"),
                (None, Kind::Map) => format!("at.map(&mut {place})"),
            };
            writeln!(code, "{index} => {call},")?;
        }
        writeln!(code, "_ => Ok(false) }} }}")?;
        Ok(())
    }
}

/// `nakama.api.Friend.State` as prost names it.
fn rust_type(name: &str) -> String {
    let mut path = String::from("crate");
    for part in name.split('.') {
        let upper = part.starts_with(|c: char| c.is_ascii_uppercase());
        let last = name.ends_with(&format!(".{part}"));
        path.push_str("::");
        path.push_str(&if upper && !last { snake_case(part) } else { part.to_owned() });
    }
    path
}

fn field_ident(name: &str) -> String {
    match name {
        "self" => "self_".to_owned(),
        "type" | "match" => format!("r#{name}"),
        _ => name.to_owned(),
    }
}

fn camel_case(name: &str) -> String {
    let capitalised = |part: &str| part[..1].to_uppercase() + &part[1..];
    name.split('_').filter(|part| !part.is_empty()).map(capitalised).collect()
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
