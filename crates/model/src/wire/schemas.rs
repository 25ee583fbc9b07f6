//! What the document says of fields whose limits no attribute can say. The limits themselves stand where the values
//! are read; that both say the same is tested from outside (`tests/it/api/document.rs`).

use utoipa::openapi::schema::{AdditionalProperties, Object, Schema, SchemaType, Type};
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, RefOr};

use crate::allow::AllowGroups;
use crate::git::BranchRule;
use crate::message::{MessageText, SessionTitle};

/// Something that is not white space, as Rust and Unicode mean it.
const NOT_BLANK: &str = r"[^\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]";
/// What people call frames, projects and tokens.
const NAME: &str = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$";
/// A host, perhaps all beneath it, perhaps on one port.
const HOST: &str = concat!(
    r"^((GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)(\+(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS))* )?",
    r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+(:0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?",
    r"((/[A-Za-z0-9_~-]+)*/?|(/[A-Za-z0-9_~-]+)*/\*)$"
);
/// An http address of a host: a name, or an IP address of either kind; perhaps a user before it and a port behind it.
const SERVER: &str = r"^https?://([A-Za-z0-9_.~-]+@)?([A-Za-z][A-Za-z0-9]*([.-][A-Za-z][A-Za-z0-9]*)*|((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])|\[([0-9A-Fa-f]{1,4}:){1,6}:[0-9A-Fa-f]{1,4}\]|\[::([0-9A-Fa-f]{1,4}:){0,5}[0-9A-Fa-f]{1,4}\])(:0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?/?$";
/// A variable that neither mimir nor what the frame stands on sets itself.
const VARIABLE: &str =
    "^(?!(HOME|SHELL|XDG_STATE_HOME)$|MIMIR_|OPENCODE_SERVER_|OPENCODE_CONFIG)[A-Za-z_][A-Za-z0-9_]*$";
/// Settings that whoever asks may have in the environment.
const SETTINGS: [&str; 9] = [
    "approvals.unattended",
    "frames.allow",
    "frames.git",
    "frames.image",
    "frames.limits.cpus",
    "frames.limits.memory",
    "frames.limits.pids",
    "frames.network",
    "frames.throwaway_ttl",
];

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn or_null(text: ObjectBuilder) -> Object {
    text.schema_type(SchemaType::Array(vec![Type::String, Type::Null])).build()
}

/// A message: not blank, and at most a MiB.
pub(super) fn message_text() -> Object {
    text().pattern(Some(NOT_BLANK)).max_length(Some(MessageText::MOST_BYTES)).build()
}

/// The same, or the one there was.
pub(super) fn new_text() -> Object {
    or_null(text().pattern(Some(NOT_BLANK)).max_length(Some(MessageText::MOST_BYTES)))
}

/// A title: not blank, and short.
pub(super) fn title() -> Object {
    text().pattern(Some(NOT_BLANK)).max_length(Some(SessionTitle::MOST)).build()
}

/// The same, or the usual one.
pub(super) fn new_title() -> Object {
    or_null(text().pattern(Some(NOT_BLANK)).max_length(Some(SessionTitle::MOST)))
}

/// Where a server elsewhere is.
pub(super) fn server() -> Object {
    text().pattern(Some(SERVER)).build()
}

/// Hosts, and the groups there are.
pub(super) fn hosts() -> Schema {
    let groups = AllowGroups::built_in().unwrap_or_default().names();
    let either = utoipa::openapi::schema::AnyOfBuilder::new()
        .item(text().enum_values(Some(groups)))
        .item(text().pattern(Some(HOST)).max_length(Some(253)));
    Schema::Array(ArrayBuilder::new().items(RefOr::T(Schema::AnyOf(either.build()))).build())
}

/// Names of model providers.
pub(super) fn providers() -> Schema {
    Schema::Array(
        ArrayBuilder::new().items(text().pattern(Some("^[a-z0-9_-]+$")).max_length(Some(60))).build(),
    )
}

/// Branches that may be pushed.
pub(super) fn branches() -> Schema {
    Schema::Array(ArrayBuilder::new().items(text().pattern(Some(BranchRule::PATTERN))).build())
}

/// Names of frames; at least one, or all of them.
pub(super) fn some_names() -> Schema {
    let names = ArrayBuilder::new()
        .schema_type(SchemaType::Array(vec![Type::Array, Type::Null]))
        .items(text().pattern(Some(NAME)))
        .min_items(Some(1));
    Schema::Array(names.build())
}

/// Names of variables and one line for each.
pub(super) fn environment() -> Schema {
    map(text().pattern(Some(VARIABLE)), text().pattern(Some(r"^[^\n\u0000]*$")))
}

/// The settings that may be said, each as a text.
pub(super) fn settings() -> Schema {
    map(text().enum_values(Some(SETTINGS)), text())
}

fn map(keys: ObjectBuilder, values: ObjectBuilder) -> Schema {
    let values = AdditionalProperties::RefOr(RefOr::T(Schema::Object(values.build())));
    let map = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property_names(Some(Schema::Object(keys.build())))
        .additional_properties(Some(values));
    Schema::Object(map.build())
}
