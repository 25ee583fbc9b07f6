//! The dashboard asks for nothing that is not there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::world::World;

/// Every metric of the page, as queries name it.
fn names_of(page: &str) -> BTreeSet<String> {
    let types: BTreeMap<&str, &str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .collect();
    let name = |(name, kind): (&&str, &&str)| match *kind {
        "counter" => vec![format!("{name}_total")],
        "histogram" => ["bucket", "count", "sum"].iter().map(|end| format!("{name}_{end}")).collect(),
        _ => vec![(*name).to_owned()],
    };
    types.iter().flat_map(name).collect()
}

fn expressions(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            into.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| expressions(field, into));
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, into)),
        _ => {}
    }
}

/// Words of a query that are names of metrics.
fn metrics_in(query: &str) -> Vec<String> {
    query
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("mimir_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn every_query_of_the_dashboard_names_metrics_that_exist() {
    let world = World::new().await;
    let page = mimir::gateway::metrics::gather(&world.services).await;
    let page = page.unwrap_or_else(|_| panic!("the page cannot be read"));
    let there = names_of(&page);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/grafana-dashboard.json");
    let dashboard: Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("the file")).expect("JSON");
    let mut queries = Vec::new();
    expressions(&dashboard, &mut queries);
    assert!(queries.len() > 20, "only {} queries were found", queries.len());
    let mut asked = BTreeSet::new();
    for query in &queries {
        let metrics = metrics_in(query);
        assert!(!metrics.is_empty(), "no metric in {query}");
        for metric in metrics {
            assert!(there.contains(&metric), "{metric} of `{query}` is not in\n{page}");
            asked.insert(metric);
        }
    }
    // What is promised to be there, whether the dashboard shows it or not.
    for promised in [
        "mimir_frames",
        "mimir_frame_status",
        "mimir_queue_length",
        "mimir_queue_oldest_seconds",
        "mimir_relay_seconds_bucket",
        "mimir_prompts_pending",
        "mimir_prompts_oldest_seconds",
        "mimir_tokens_total",
        "mimir_cost_microusd_total",
        "mimir_agent_reconnects_total",
        "mimir_agent_gaps_total",
        "mimir_gap_repairs_total",
        "mimir_runtime_call_seconds_bucket",
        "mimir_store_write_seconds_bucket",
    ] {
        assert!(asked.contains(promised), "the dashboard does not show {promised}");
    }
}

#[tokio::test]
async fn the_page_counts_what_is_there() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    world.agent(&frame.id).ask(&world.agent(&frame.id).foreign_session(None), "question");
    let limit = std::time::Duration::from_secs(10);
    world
        .until("the question is counted", limit, async || {
            let page = mimir::gateway::metrics::gather(&world.services).await;
            let page = page.map_err(|_| "no page".to_owned())?;
            let lines: Vec<&str> = page.lines().collect();
            let wanted = [
                "mimir_frames{state=\"running\"} 1",
                "mimir_frame_status{status=\"waiting\"} 1",
                "mimir_prompts_pending{form=\"question\"} 1",
                "mimir_prompts_pending{form=\"permission\"} 0",
                "mimir_engine_up 1",
            ];
            let missing = wanted.iter().find(|line| !lines.contains(line));
            let timed =
                lines.iter().any(|line| line.starts_with("mimir_runtime_call_seconds_count{call=\"start\"}"));
            match missing {
                None if timed && page.ends_with("# EOF\n") => Ok(()),
                missing => Err(format!("{missing:?} in\n{page}")),
            }
        })
        .await;
}
