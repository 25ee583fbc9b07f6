//! What the OpenAPI document says of many routes alike, said once: who may ask, how a request is refused, and what
//! of a body no single field can say.
//!
//! A request that the document does not allow is answered with 400, 404, 413 or 415; one that it allows and that does
//! not fit what is there (a name that is taken, a folder that is missing, a setting that cannot be read) with 404 or
//! 409. `tests/it/api/document.rs` holds the gateway to both.

use serde_json::json;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{
    AllOfBuilder, AnyOfBuilder, Components, KnownFormat, Object, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, ObjectBuilder, OpenApi, Ref, RefOr};

use super::needs::{FrameIn, Needs, Route};

/// The media type of a [`Problem`](crate::wire::problem::Problem).
const PROBLEM: &str = "application/problem+json";

/// What a refusal is called in the document, with its status and when it comes.
const REFUSALS: &[(u16, &str, &str)] = &[
    (400, "Malformed", "the request is not one that this document describes"),
    (401, "Unknown", "nobody knows who asks: a token is missing, wrong, expired or revoked"),
    (403, "Forbidden", "the token may not do that, or a page of another origin asks"),
    (404, "NotFound", "there is nothing of that name"),
    (
        409,
        "Conflict",
        "it does not fit what is there: a name that is taken, a state that does not allow it, a folder that cannot be used",
    ),
    (413, "TooLarge", "the body is larger than it may be"),
    (415, "NoJson", "the body is not `application/json`"),
    (421, "WrongHost", "this gateway does not answer to that host name"),
    (424, "Failed", "what it needs failed: the frame's start, the engine, a folder of mimir's own"),
    (429, "TooMany", "too many messages wait"),
    (500, "Internal", "a bug; the gateway's log has more under the request's id"),
    (501, "Unsupported", "the engine cannot do that"),
    (502, "BadAgent", "the frame's agent refused it, or cannot be reached"),
    (
        503,
        "Unavailable",
        "the gateway stops, the engine cannot be reached, or that address has too many connections",
    ),
    (507, "DiskFull", "there is no space left"),
];

/// Whether a route can answer so.
fn can_answer(status: u16, route: &Route, operation: &Operation) -> bool {
    let names_something = route.path.contains('{');
    let reaches_an_agent = matches!(
        route.frame,
        FrameIn::Path
            | FrameIn::Body
            | FrameIn::Message
            | FrameIn::Session
            | FrameIn::Approval
            | FrameIn::Push
    );
    match status {
        401 => route.needs != Needs::Open,
        404 => {
            names_something
                // What it names stands in the query.
                || (route.path == "/v1/budgets" && route.method == "delete")
                || operation.request_body.is_some()
                || !matches!(route.frame, FrameIn::All | FrameIn::NoFrame | FrameIn::Handler)
        }
        // A folder of the host is named in the query.
        409 if route.path == "/v1/trust" => true,
        // A source is asked.
        424 if route.path.starts_with("/v1/secrets/") => true,
        409 | 507 => names_something || route.method != "get",
        413 | 415 => operation.request_body.is_some(),
        424 | 501 | 502 => reaches_an_agent || route.path.starts_with("/v1/frames") || route.path == "/v1/gc",
        _ => true,
    }
}

/// Completes what the handlers say.
pub fn complete(mut document: OpenApi, routes: &[Route]) -> OpenApi {
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    for (_, name, when) in REFUSALS {
        components.responses.insert((*name).to_owned(), RefOr::T(refusal(when)));
    }
    restrict(components);
    for route in routes {
        let found = document.paths.paths.get_mut(route.path);
        let Some(operation) = found.and_then(|item| operation(item, route.method)) else { continue };
        operation.security = Some(vec![match route.needs {
            Needs::Open => SecurityRequirement::default(),
            Needs::Known => SecurityRequirement::new("token", [""; 0]),
            Needs::Scope(scope) => SecurityRequirement::new("token", [scope.as_str()]),
        }]);
        refuse(operation, route);
        operation.parameters.iter_mut().flatten().filter_map(whole).for_each(never_null);
    }
    // `{*path}` is axum's way to write a parameter that holds slashes.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (as_written(&path), item)).collect();
    document
}

/// A path as the document writes it.
#[must_use]
pub fn as_written(path: &str) -> String {
    path.replace("{*", "{")
}

/// The names of the parameters that stand in a query.
pub fn query_parameters(document: &OpenApi, route: &Route) -> Vec<String> {
    let mut item = document.paths.paths.get(route.path).cloned().unwrap_or_default();
    let parameters = operation(&mut item, route.method).and_then(|operation| operation.parameters.take());
    let mut parameters = parameters.unwrap_or_default();
    let whole = parameters.iter_mut().filter_map(whole);
    whole.filter(|one| one.parameter_in == ParameterIn::Query).map(|one| one.name.clone()).collect()
}

fn operation<'a>(item: &'a mut PathItem, method: &str) -> Option<&'a mut Operation> {
    match method {
        "get" => item.get.as_mut(),
        "put" => item.put.as_mut(),
        "post" => item.post.as_mut(),
        "patch" => item.patch.as_mut(),
        "delete" => item.delete.as_mut(),
        _ => None,
    }
}

fn whole(parameter: &mut RefOr<Parameter>) -> Option<&mut Parameter> {
    match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    }
}

fn refusal(when: &str) -> Response {
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new().description(when).content(PROBLEM, problem).build()
}

/// What the route can be refused with; where its handler says more about a status, that stays.
fn refuse(operation: &mut Operation, route: &Route) {
    let said = &mut operation.responses.responses;
    for (status, answer) in said.iter_mut() {
        if let RefOr::T(answer) = answer
            && status.starts_with(['4', '5'])
        {
            *answer = refusal(&answer.description);
        }
    }
    let possible: Vec<_> =
        REFUSALS.iter().filter(|(status, ..)| can_answer(*status, route, operation)).collect();
    let said = &mut operation.responses.responses;
    for (status, name, _) in possible {
        said.entry(status.to_string()).or_insert_with(|| RefOr::Ref(Ref::from_response_name(*name)));
    }
}

/// An absent parameter is absent; there is no way to write null in an address.
fn never_null(parameter: &mut Parameter) {
    if let Some(RefOr::T(Schema::Object(object))) = &mut parameter.schema {
        never(&mut object.schema_type);
        // What Rust's type can hold.
        object.maximum = object.maximum.take().or_else(|| match object.format {
            Some(SchemaFormat::KnownFormat(KnownFormat::Int64)) => Some(u64::MAX.into()),
            Some(SchemaFormat::KnownFormat(KnownFormat::Int32)) => Some(u32::MAX.into()),
            _ => None,
        });
    }
    if let Some(RefOr::T(Schema::OneOf(either))) = &mut parameter.schema {
        either
            .items
            .retain(|item| !matches!(item, RefOr::T(Schema::Object(object)) if is_null(&object.schema_type)));
        if let [only] = either.items.as_slice() {
            parameter.schema = Some(only.clone());
        }
    }
}

fn is_null(kind: &SchemaType) -> bool {
    *kind == SchemaType::Type(Type::Null)
}

fn never(kind: &mut SchemaType) {
    if let SchemaType::Array(types) = kind {
        types.retain(|one| *one != Type::Null);
        if let [only] = types.as_slice() {
            *kind = SchemaType::Type(only.clone());
        }
    }
}

/// Adds to bodies what holds between their fields.
fn restrict(components: &mut Components) {
    let rules: &[(&str, &[Vec<Schema>])] = &[
        // Exactly one place, unless a frame file names it; only what is thrown away has an end.
        (
            "CreateFrame",
            &[
                vec![has("workspace"), has("project"), has("config_yaml")],
                vec![lacks("workspace"), lacks("project")],
                vec![lacks("ttl_seconds"), says("throwaway", &[json!(true)], true), has("config_yaml")],
            ],
        ),
        (
            "SendMessage",
            &[vec![says("interrupt", &[json!(false)], false), says("now", &[json!(false)], false)]],
        ),
        ("EditMessage", &[vec![has("text"), has("model"), has("agent")]]),
        (
            "AnswerApproval",
            &[
                vec![lacks("why"), says("decision", &[json!("reject")], true)],
                vec![none("answers"), says("decision", &[json!("answer")], true)],
            ],
        ),
    ];
    for (name, conditions) in rules {
        let Some(schema) = components.schemas.remove(*name) else { continue };
        let either = |of: &Vec<Schema>| of.iter().cloned().fold(AnyOfBuilder::new(), AnyOfBuilder::item);
        let all = AllOfBuilder::new().item(schema);
        let all =
            conditions.iter().fold(all, |all, condition| all.item(Schema::AnyOf(either(condition).build())));
        components.schemas.insert((*name).to_owned(), RefOr::T(Schema::AllOf(all.build())));
    }
}

fn one(field: &str, value: Object, required: bool) -> Schema {
    let object = ObjectBuilder::new().schema_type(SchemaType::AnyValue).property(field, value);
    Schema::Object(if required { object.required(field).build() } else { object.build() })
}

/// The field is there and not null.
fn has(field: &str) -> Schema {
    one(field, Object::with_type(Type::String), true)
}

/// The field is absent or null.
fn lacks(field: &str) -> Schema {
    one(field, Object::with_type(Type::Null), false)
}

/// The list is absent or empty.
fn none(field: &str) -> Schema {
    one(
        field,
        ObjectBuilder::new().schema_type(SchemaType::AnyValue).enum_values(Some([json!([])])).build(),
        false,
    )
}

/// The field is one of these; or absent, unless it is required.
fn says(field: &str, values: &[serde_json::Value], required: bool) -> Schema {
    let value =
        ObjectBuilder::new().schema_type(SchemaType::AnyValue).enum_values(Some(values.to_vec())).build();
    one(field, value, required)
}
