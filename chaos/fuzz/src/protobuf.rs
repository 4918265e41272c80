//! The contract as its descriptors tell it: which calls there are, and a plausible message of each, so that no call is without a seed.

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// One call of a service.
pub(crate) struct Call {
    /// `/holdfast.v1.Secrets/Put`.
    pub(crate) path: String,
    /// What it is asked with.
    pub(crate) input: String,
    /// Whether answers, or questions, come in a stream.
    pub(crate) streams: bool,
}

struct Contract {
    calls: Vec<Call>,
    messages: BTreeMap<String, DescriptorProto>,
}

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(proto::DESCRIPTORS).expect("the descriptors come with the program");
    let mut contract = Contract { calls: Vec::new(), messages: BTreeMap::new() };
    for file in files.file {
        let package = file.package().to_owned();
        for message in &file.message_type {
            contract.add(&package, message);
        }
        for service in &file.service {
            for method in &service.method {
                contract.calls.push(Call {
                    path: format!("/{package}.{}/{}", service.name(), method.name()),
                    input: method.input_type().trim_start_matches('.').to_owned(),
                    streams: method.client_streaming() || method.server_streaming(),
                });
            }
        }
    }
    contract
});

impl Contract {
    fn add(&mut self, outer: &str, message: &DescriptorProto) {
        let name = format!("{outer}.{}", message.name());
        for inner in &message.nested_type {
            self.add(&name, inner);
        }
        self.messages.insert(name, message.clone());
    }
}

/// The calls of clients, in the order of the descriptors.
pub(crate) fn calls() -> impl Iterator<Item = &'static Call> {
    CONTRACT.calls.iter().filter(|call| call.path.starts_with("/holdfast.v1."))
}

/// A message of this type: each field once, with what its name suggests; texts that suggest nothing are `filler`.
pub(crate) fn message(name: &str, filler: &str) -> Vec<u8> {
    written(name, filler, 0)
}

fn written(name: &str, filler: &str, depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Some(message) = CONTRACT.messages.get(name).filter(|_| depth < 4) else { return bytes };
    for field in &message.field {
        let number = u64::try_from(field.number()).unwrap_or(0);
        match field.r#type() {
            Type::String => long(&mut bytes, number, suggested(field, filler).as_bytes()),
            Type::Bytes => long(&mut bytes, number, filler.as_bytes()),
            Type::Message => {
                let inner = written(field.type_name().trim_start_matches('.'), filler, depth + 1);
                long(&mut bytes, number, &inner);
            }
            Type::Double | Type::Fixed64 | Type::Sfixed64 => {
                varint(&mut bytes, number << 3 | 1);
                bytes.extend_from_slice(&1u64.to_le_bytes());
            }
            Type::Float | Type::Fixed32 | Type::Sfixed32 => {
                varint(&mut bytes, number << 3 | 5);
                bytes.extend_from_slice(&1u32.to_le_bytes());
            }
            Type::Group => {}
            // A flag that is set often says the contrary of the rest; numbers start from 1.
            Type::Bool if field.label() != Label::Repeated => {}
            _ => {
                varint(&mut bytes, number << 3);
                varint(&mut bytes, 1);
            }
        }
    }
    bytes
}

fn suggested(field: &FieldDescriptorProto, filler: &str) -> String {
    let text = match field.name() {
        "environment" | "environments" => "development",
        "to_environment" | "target" => "production",
        "path" | "prefix" | "from" | "paths" => "db/password",
        "to" => "db/other",
        "capability" | "capabilities" => "read",
        "address" | "networks" | "addresses" => "10.0.0.0/8",
        "accessor" => "0123456789abcdef01234567",
        "hours" => "mon-fri/08:00-18:00",
        "policies" | "policy" => "root",
        "value" | "json" => "{\"a\":1}",
        "url" => "https://example.com/",
        "type" => "password",
        "password" => "correct horse battery",
        _ => filler,
    };
    text.to_owned()
}

fn long(bytes: &mut Vec<u8>, number: u64, contents: &[u8]) {
    varint(bytes, number << 3 | 2);
    varint(bytes, contents.len() as u64);
    bytes.extend_from_slice(contents);
}

fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}
