//! Every message survives both encodings: random ones, made from the descriptors, so that no message is left out.

use kizuna_protocol::{
    DESCRIPTORS,
    envelope::{self, Format},
    json::{JsonMessage, MessageVisitor, Unknown, visit_messages},
    realtime::Envelope,
};
use proptest::prelude::*;
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint},
};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use std::{collections::BTreeMap, sync::LazyLock};

/// Every message by its full name, map entries and Google's included.
static TYPES: LazyLock<BTreeMap<String, DescriptorProto>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("the build script wrote it");
    let mut types = BTreeMap::new();
    for file in files.file {
        let package = file.package().to_owned();
        for message in file.message_type {
            add(&package, message, &mut types);
        }
    }
    types
});

fn add(scope: &str, message: DescriptorProto, into: &mut BTreeMap<String, DescriptorProto>) {
    let name = format!("{scope}.{}", message.name());
    for nested in message.nested_type.clone() {
        add(&name, nested, into);
    }
    into.insert(name, message);
}

/// The protobuf bytes of some message called `name`.
fn message(name: &str) -> BoxedStrategy<Vec<u8>> {
    if name == "google.protobuf.Timestamp" {
        return timestamp();
    }
    let descriptor = &TYPES[name];
    let mut bytes = Just(Vec::new()).boxed();
    for field in descriptor.field.iter().filter(|field| field.oneof_index.is_none()) {
        bytes = followed_by(bytes, field_occurrences(field));
    }
    for oneof in 0..descriptor.oneof_decl.len() {
        let members = descriptor.field.iter().filter(|field| field.oneof_index == i32::try_from(oneof).ok());
        bytes = followed_by(
            bytes,
            proptest::option::of(one_of(members.map(occurrence).collect())).prop_map(Option::unwrap_or_default),
        );
    }
    bytes
}

fn one_of(strategies: Vec<BoxedStrategy<Vec<u8>>>) -> BoxedStrategy<Vec<u8>> {
    proptest::strategy::Union::new(strategies).boxed()
}

fn followed_by(
    bytes: BoxedStrategy<Vec<u8>>,
    more: impl Strategy<Value = Vec<u8>> + 'static,
) -> BoxedStrategy<Vec<u8>> {
    (bytes, more).prop_map(|(bytes, more)| [bytes, more].concat()).boxed()
}

/// None, one, or with a repeated field some occurrences.
fn field_occurrences(field: &FieldDescriptorProto) -> impl Strategy<Value = Vec<u8>> + use<> {
    let most = if field.label() == Label::Repeated { 3 } else { 1 };
    proptest::collection::vec(occurrence(field), 0..=most).prop_map(|occurrences| occurrences.concat())
}

fn occurrence(field: &FieldDescriptorProto) -> BoxedStrategy<Vec<u8>> {
    let number = u32::try_from(field.number()).expect("field numbers are positive");
    let tagged = move |wire_type: WireType, value: Vec<u8>| {
        let mut bytes = Vec::new();
        encode_key(number, wire_type, &mut bytes);
        if wire_type == WireType::LengthDelimited {
            encode_varint(value.len() as u64, &mut bytes);
        }
        [bytes, value].concat()
    };
    let delimited = move |value: Vec<u8>| tagged(WireType::LengthDelimited, value);
    let integer = move |value: i64| tagged(WireType::Varint, varint(value));
    match field.r#type() {
        Type::Message => message(field.type_name().trim_start_matches('.')).prop_map(delimited).boxed(),
        Type::String => text().prop_map(move |text| delimited(text.into_bytes())).boxed(),
        Type::Bytes => proptest::collection::vec(any::<u8>(), 0..80).prop_map(delimited).boxed(),
        Type::Bool => any::<bool>().prop_map(move |value| integer(value.into())).boxed(),
        Type::Int32 | Type::Enum => any::<i32>().prop_map(move |value| integer(value.into())).boxed(),
        Type::Uint32 => any::<u32>().prop_map(move |value| integer(value.into())).boxed(),
        Type::Int64 => prop_oneof![any::<i64>(), -3..3_i64].prop_map(integer).boxed(),
        // NaN is equal to nothing, itself included; tests/json.rs has it.
        Type::Double => (proptest::num::f64::ANY)
            .prop_filter("a number", |value| !value.is_nan())
            .prop_map(move |value| tagged(WireType::SixtyFourBit, value.to_le_bytes().to_vec()))
            .boxed(),
        other => panic!("no message has a field of {other:?}"),
    }
}

fn varint(value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_varint(value.cast_unsigned(), &mut bytes);
    bytes
}

/// Mostly what people write; also quotes, escapes and everything else in Unicode.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z0-9{}\":, ]{0,20}", "[\\x00-\\x1f\"\\\\/]{0,8}", any::<String>()]
}

/// In the years 1 to 9999: others have no JSON form.
fn timestamp() -> BoxedStrategy<Vec<u8>> {
    let nanos = prop_oneof![Just(0), (0..1000).prop_map(|millis| millis * 1_000_000), 0..1_000_000_000];
    let seconds = prop_oneof![1_600_000_000..2_000_000_000_i64, -62_135_596_800..=253_402_300_799_i64];
    (seconds, nanos).prop_map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos }.encode_to_vec()).boxed()
}

struct RoundTrips {
    messages: usize,
}

impl MessageVisitor for RoundTrips {
    fn visit<M: JsonMessage>(&mut self) {
        self.messages += 1;
        // The envelope has a branch for each of its messages.
        let cases = if M::NAME == Envelope::NAME { 2000 } else { 40 };
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let checked = runner.run(&message(M::NAME), |bytes| {
            survives_both_encodings::<M>(&bytes);
            Ok(())
        });
        if let Err(error) = checked {
            panic!("{}: {error}", M::NAME);
        }
    }
}

fn survives_both_encodings<M: JsonMessage>(bytes: &[u8]) {
    let message = M::decode(bytes).expect("the bytes follow the descriptors");
    assert_eq!(M::decode(&*message.encode_to_vec()).as_ref(), Ok(&message), "protobuf");

    let mut json = Vec::new();
    message.write_json(&mut json);
    let text = std::str::from_utf8(&json).expect("JSON is UTF-8");
    for unknown in [Unknown::Reject, Unknown::Ignore] {
        assert_eq!(M::read_json(&json, unknown).as_ref(), Ok(&message), "{unknown:?} {text}");
    }
    // The strict reader knows nothing of what the scanner checked: cut short, it must refuse without a panic.
    for end in (0..json.len()).step_by(1 + json.len() / 16) {
        assert!(M::read_json(&json[..end], Unknown::Reject).is_err(), "{end} of {text}");
    }
}

#[test]
fn every_message_survives_json_and_protobuf() {
    let mut round_trips = RoundTrips { messages: 0 };
    visit_messages(&mut round_trips);
    assert_eq!(round_trips.messages, 174);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_envelope_survives_a_frame_of_either_format(bytes in message(Envelope::NAME)) {
        let envelope = Envelope::decode(&*bytes).expect("the bytes follow the descriptors");
        for format in Format::ALL {
            let frame = envelope::encode(format, &envelope);
            prop_assert_eq!(envelope::decode(format, &frame), Ok(envelope.clone()));
        }
    }

    #[test]
    fn no_bytes_make_the_decoders_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for format in Format::ALL {
            let _ = envelope::decode(format, &bytes);
        }
        let _ = Envelope::read_json(&bytes, Unknown::Ignore);
    }

    #[test]
    fn nothing_that_looks_like_json_makes_the_decoders_panic(
        text in r#"(\{|\}|\[|\]|:|,|"cid"|"match_data_send"|"data"|"op_code"|"presences"|"x"|"\\u[d0][89f]00"|1e9|-|null|true| |é){0,40}"#
    ) {
        if envelope::decode(Format::Json, text.as_bytes()).is_ok() {
            // What the strict reader takes, the lenient one takes too.
            prop_assert!(Envelope::read_json(text.as_bytes(), Unknown::Ignore).is_ok());
        }
        let _ = Envelope::read_json(text.as_bytes(), Unknown::Ignore);
    }
}

#[test]
fn unknown_protobuf_fields_are_ignored_and_text_must_be_utf8() {
    let unknown = [0xfa, 0x7f, 1, b'x'];
    assert_eq!(envelope::decode(Format::Protobuf, &unknown), Ok(Envelope::default()));
    assert_eq!(envelope::decode(Format::Protobuf, b""), Ok(Envelope::default()));
    assert!(envelope::decode(Format::Protobuf, &[0x0a, 1, 0xff]).is_err());
    assert!(envelope::decode(Format::Protobuf, &[0x0a, 5, b'x']).is_err());
}
