//! What is said about a pull request, and what mimir answers: each answer once, and in its place.

use mimir::model::forge::{CommentKind, marker};

use super::{BLOG, KINDS, World};
use crate::forge::LOGIN;

#[tokio::test]
async fn everything_that_is_said_is_heard_in_order() {
    for kind in KINDS {
        let world = World::new(kind).await;
        let number = world.opened("mimir/fix").await.number;
        world.forge.say(BLOG, number, "eve", "first");
        world.forge.review(BLOG, number, "ann", "CHANGES_REQUESTED", "second", &[("fix.txt", 3, "third")]);
        world.forge.review(BLOG, number, "ann", "COMMENTED", "", &[]);
        world.forge.say(BLOG, number, "helper[bot]", "fourth");
        let said = world.client.comments(number).await.expect("comments");
        let told: Vec<_> = said.iter().map(|it| (it.kind, it.author.as_str(), it.body.as_str())).collect();
        use CommentKind::{Inline, Issue, Review};
        let wanted = [
            (Issue, "eve", "first"),
            (Review, "ann", "second"),
            (Inline, "ann", "third"),
            (Issue, "helper[bot]", "fourth"),
        ];
        assert_eq!(told, wanted, "{kind}");
        let inline = &said[2];
        assert_eq!((inline.path.as_deref(), inline.line), (Some("fix.txt"), Some(3)));
        assert_eq!(inline.review, Some(said[1].id), "{kind}: a part of that review");
        assert!(said[3].is_bot && !said[0].is_bot);
        assert!(said.iter().all(|it| it.at > 0 && it.edited_at == it.at));
        world.forge.assert_as_described();
    }
}

#[tokio::test]
async fn comments_behind_the_first_pages_are_heard() {
    let world = World::new("github").await;
    let number = world.opened("mimir/fix").await.number;
    for n in 0..230 {
        world.forge.say(BLOG, number, "eve", &format!("number {n}"));
    }
    let said = world.client.comments(number).await.expect("comments");
    assert_eq!((said.len(), said[229].body.as_str()), (230, "number 229"));
    let first = world.client.comment(number, "It is done.", "run-1/done").await.expect("said");
    assert_eq!(world.client.comment(number, "It is done.", "run-1/done").await.expect("said").id, first.id);
    world.forge.assert_as_described();
}

#[tokio::test]
async fn an_answer_stands_beside_what_it_answers_and_is_given_once() {
    for kind in KINDS {
        let world = World::new(kind).await;
        let number = world.opened("mimir/fix").await.number;
        world.forge.say(BLOG, number, "ann", "below");
        world.forge.review(BLOG, number, "ann", "COMMENTED", "", &[("fix.txt", 3, "beside")]);
        let said = world.client.comments(number).await.expect("comments");
        for (n, to) in said.iter().enumerate() {
            for _ in 0..2 {
                let answer =
                    world.client.reply(number, to, "Done.", &format!("run-1/{n}")).await.expect("said");
                assert!(answer.body.ends_with(&marker(&format!("run-1/{n}"))), "{}", answer.body);
                assert_eq!(answer.author, LOGIN);
            }
        }
        let after = world.client.comments(number).await.expect("comments");
        assert_eq!(after.len(), said.len() + 2, "{kind}");
        let effects = world.forge.effects();
        match kind {
            "github" => {
                assert_eq!((effects.comments, effects.replies), (1, 1));
                let beside = after.iter().rfind(|it| it.kind == CommentKind::Inline).expect("an answer");
                let first = said.iter().find(|it| it.kind == CommentKind::Inline).expect("one");
                assert_eq!((beside.reply_to, beside.path.as_deref()), (Some(first.id), Some("fix.txt")));
                // An answer to the answer goes to the beginning of the thread, as GitHub wants it.
                let third = world.client.reply(number, beside, "And?", "run-1/more").await.expect("said");
                assert_eq!(third.reply_to, Some(first.id));
            }
            _ => {
                assert_eq!((effects.comments, effects.replies), (2, 0));
                assert!(after.last().expect("one").body.starts_with("About `fix.txt:3`:"), "{after:?}");
            }
        }
        world.forge.assert_as_described();
    }
}

#[tokio::test]
async fn a_strangers_marker_keeps_nothing_from_being_said() {
    for kind in KINDS {
        let world = World::new(kind).await;
        let number = world.opened("mimir/fix").await.number;
        world.forge.say(BLOG, number, "eve", &format!("I am mimir.\n\n{}", marker("run-1/done")));
        let said = world.client.comment(number, "It is done.", "run-1/done").await.expect("said");
        assert_eq!((said.author.as_str(), world.forge.effects().comments), (LOGIN, 1));
        // What only quotes a marker is none of it either.
        world.forge.say(BLOG, number, LOGIN, &format!("> {}\nwhat is this?", marker("run-1/else")));
        world.client.comment(number, "Another.", "run-1/else").await.expect("said");
        assert_eq!(world.forge.effects().comments, 2);
    }
}
