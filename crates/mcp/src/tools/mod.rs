//! All tools, by what they are about.

mod approvals;
mod events;
mod frames;
mod logs;
mod messages;
mod money;
mod runs;
mod sessions;

use mimir_model::wire::problem::Problem;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::tool::{Call, Known, Verb, run};

/// No list is longer, whoever asks.
const MOST: usize = 200;

/// What of a list is wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfFrame {
    /// Only of this frame.
    frame: Option<String>,
    /// How many at most, up to 200; 50 when absent.
    limit: Option<u32>,
}

/// So many of a list as somebody wants, or else the usual number, and how many more there are.
fn first<T>(mut all: Vec<T>, wanted: Option<u32>, usual: usize) -> (Vec<T>, usize) {
    let limit = wanted.map_or(usual, |wanted| usize::try_from(wanted).unwrap_or(MOST)).min(MOST);
    let left_out = all.len().saturating_sub(limit);
    all.truncate(limit);
    (all, left_out)
}

macro_rules! tools {
    ($($verb:ty),+ $(,)?) => {
        /// Every tool, described.
        pub fn all() -> Vec<Known> {
            vec![$(Known::of::<$verb>()),+]
        }

        /// Does what the tool of that name does.
        pub async fn call(name: &str, arguments: Value, with: &Call<'_>) -> Result<Value, Problem> {
            $(
                if name == <$verb as Verb>::NAME {
                    return Box::pin(run::<$verb>(arguments, with)).await;
                }
            )+
            Err(Problem::new(404, "mcp.no_tool", format!("there is no tool `{name}`")).hint("`tools/list` names all"))
        }
    };
}

tools![
    frames::List,
    frames::Show,
    frames::Create,
    frames::Start,
    frames::Stop,
    logs::Logs,
    messages::Post,
    messages::Show,
    messages::Cancel,
    messages::Queue,
    sessions::List,
    sessions::Show,
    approvals::List,
    approvals::Answer,
    runs::List,
    runs::Show,
    money::Budgets,
    events::Tail,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_tool_is_named_once_and_described_shortly() {
        let all = all();
        let names: BTreeSet<&str> = all.iter().map(|known| known.tool.name.as_ref()).collect();
        assert_eq!(names.len(), all.len());
        for known in &all {
            let name = &known.tool.name;
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            let about = known.tool.description.as_deref().unwrap_or_default();
            assert!((20..=400).contains(&about.len()), "{name}: {about}");
            assert_eq!(known.tool.input_schema["type"], "object", "{name}");
            assert_eq!(
                known.tool.input_schema["additionalProperties"], false,
                "{name} takes what it does not know"
            );
            let result = known.tool.output_schema.as_ref().expect("a schema of the result");
            assert_eq!(result["type"], "object", "{name}");
            assert_eq!(result["properties"].get("note").is_some(), known.note.is_some(), "{name}");
        }
    }

    #[test]
    fn no_list_is_longer_than_anybody_reads() {
        let all = || (0..300).collect::<Vec<u32>>();
        let lengths = [None, Some(7), Some(u32::MAX)].map(|wanted| {
            let (shown, left_out) = first(all(), wanted, 50);
            (shown.len(), left_out)
        });
        assert_eq!(lengths, [(50, 250), (7, 293), (200, 100)]);
        assert_eq!(first(vec![1, 2], None, 50), (vec![1, 2], 0));
    }

    #[test]
    fn every_field_is_described() {
        for known in all() {
            for (name, field) in known.tool.input_schema["properties"].as_object().expect("fields") {
                assert!(field.get("description").is_some(), "{} {name}", known.tool.name);
            }
        }
    }
}
