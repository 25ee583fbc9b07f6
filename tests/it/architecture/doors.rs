//! Services take and give what `model` knows; only edges know how it crosses the socket.

use std::collections::BTreeSet;

use super::source::program;

/// Rooms that act for whoever asks: over HTTP, from a schedule, as a step of a run.
const SERVICES: [&str; 15] = [
    "access",
    "approvals",
    "budget",
    "delivery",
    "doctor",
    "feed",
    "frames",
    "notify",
    "schedules",
    "secrets",
    "sessions",
    "status",
    "upkeep",
    "webhooks",
    "workflows",
];

#[test]
fn services_know_no_wire_types() {
    let files: Vec<_> = program().into_iter().filter(|file| SERVICES.contains(&file.room.as_str())).collect();
    let rooms: BTreeSet<&str> = files.iter().map(|file| file.room.as_str()).collect();
    assert_eq!(rooms.len(), SERVICES.len(), "{rooms:?}");
    let offences: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let named = file.named(&file.code(), &BTreeSet::new()).into_iter();
            named.filter(|path| path.first().is_some_and(|room| room == "wire")).map(|path| {
                format!(
                    "{}: `{}`: take a type of `model` and convert in `gateway`",
                    file.path,
                    path.join("::")
                )
            })
        })
        .collect();
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}
