//! What a client is told that cannot have its terminal.

use crate::wire::problem::Problem;

pub(super) fn no_ticket() -> Problem {
    Problem::new(401, "terminal.ticket", "this ticket opens nothing: each opens one connection, within half a minute")
        .hint("ask for another one: POST /v1/frames/{name}/terminal/tickets; a shared link may be over or taken back")
}

pub(super) fn too_late() -> Problem {
    Problem::new(401, "terminal.ticket", "a ticket has to come within ten seconds")
}

pub(super) fn over() -> Problem {
    Problem::new(
        401,
        "terminal.over",
        "whoever opened this may look no longer: the session or the shared link is over",
    )
}

pub(super) fn crowded() -> Problem {
    Problem::new(409, "terminal.crowded", "as many look through this shared link as may at once")
        .hint("try again when somebody has left")
}

pub(super) fn stopping() -> Problem {
    Problem::new(503, "gateway.stopping", "the gateway stops")
}

pub(super) fn read_only() -> Problem {
    Problem::new(
        403,
        "terminal.read_only",
        "this terminal can be looked at; nothing that you type reaches it",
    )
}

pub(super) fn too_fast() -> Problem {
    Problem::new(409, "terminal.too_fast", "more input came than was asked for: wait for `input_ack`")
}

pub(super) fn wrong_ack() -> Problem {
    Problem::new(400, "request.invalid", "`ack` says how much output was taken, and it was not that much")
}

pub(super) fn out_of_turn() -> Problem {
    Problem::new(
        400,
        "request.invalid",
        "that message has no place here: first `auth`, then `attach`, then the others",
    )
}

pub(super) fn garbled() -> Problem {
    Problem::new(400, "request.invalid", "this is no message to a terminal")
}
