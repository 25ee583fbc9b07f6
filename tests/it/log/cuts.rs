//! Readers whose connection breaks, again and again.

use std::time::Duration;

use super::reader::{Form, PATIENCE, Reader};
use super::{Dice, emit};
use crate::api::world::World;

const EVENTS: u64 = 10_000;
const CUTS: u64 = 100;

/// 10,000 events, 100 breaks at any byte, for both forms of the stream: nothing is lost, nothing comes twice.
#[tokio::test]
async fn a_hundred_breaks_of_sse_and_websocket_lose_nothing_and_double_nothing() {
    let world = World::new().await;
    let begin = world.services.events.newest();
    let write = async {
        let mut dice = Dice::new();
        let mut number = 0;
        while number < EVENTS {
            let end = (number + 1 + dice.throw(60)).min(EVENTS);
            emit(&world.services.store, number..end, |number| number.to_string()).await;
            number = end;
            tokio::time::sleep(Duration::from_millis(dice.throw(8))).await;
        }
    };
    let read =
        async { tokio::join!(read_all(&world, Form::Sse, begin), read_all(&world, Form::Socket, begin)) };
    let both = async { tokio::join!(write, read) };
    let ((), (sse, socket)) = tokio::time::timeout(PATIENCE * 4, both).await.expect("all in time");

    let all: Vec<u64> = (0..EVENTS).collect();
    for (form, (numbers, cuts)) in [(Form::Sse, sse), (Form::Socket, socket)] {
        let wrong = numbers.iter().zip(&all).find(|(got, wanted)| got != wanted);
        assert_eq!((numbers.len() as u64, wrong), (EVENTS, None), "{form:?}");
        assert!(cuts >= CUTS, "{form:?} was only cut {cuts} times");
    }
}

/// Every number in the order in which it came, and how often the connection broke.
async fn read_all(world: &World, form: Form, begin: u64) -> (Vec<u64>, u64) {
    let mut dice = Dice::new();
    let (mut numbers, mut cuts, mut position) = (Vec::new(), 0, Some(begin));
    loop {
        let mut reader = Reader::open(world.socket(), form, "kind=message.*", position).await;
        // Some end before the first event: the position must hold all the same.
        let until = dice.throw(3 * EVENTS / (2 * CUTS));
        for _ in 0..until {
            let event = reader.soon().await;
            assert_eq!(event["kind"], "message.text", "{event}");
            numbers.push(event["data"]["delta"].as_str().expect("text").parse().expect("a number"));
            if numbers.len() as u64 == EVENTS {
                return (numbers, cuts);
            }
        }
        position = reader.position;
        cuts += 1;
    }
}
