//! Answers that come line by line.

use std::marker::PhantomData;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::error::ClientError;
use super::http::Answer;
use mimir_model::wire::problem::ProblemLine;

/// No line is longer.
const LONGEST_LINE: usize = 16 << 20;

/// The raw lines of an answer, without their ends.
pub struct RawLines {
    answer: Answer,
    buffer: BytesMut,
    ended: bool,
    silence: Option<Duration>,
}

impl RawLines {
    /// Lines of `answer`; a pause longer than `silence` counts as a broken connection.
    pub fn new(answer: Answer, silence: Option<Duration>) -> Self {
        Self { answer, buffer: BytesMut::new(), ended: false, silence }
    }

    /// The next line, or `None` at the end.
    ///
    /// # Errors
    /// When the connection breaks, stays silent too long, or a line is too long.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(at);
                self.buffer.advance(1);
                let line = line.strip_suffix(b"\r").unwrap_or(&line);
                return Ok(Some(String::from_utf8_lossy(line).into_owned()));
            }
            if self.ended {
                let rest = self.buffer.split();
                return Ok((!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned()));
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> Result<(), ClientError> {
        let lost = |action: &str, why: String| ClientError::Lost { action: action.to_owned(), why };
        let frame = match self.silence {
            None => self.answer.body.frame().await,
            Some(silence) => tokio::time::timeout(silence, self.answer.body.frame()).await.map_err(|_| {
                lost(&self.answer.action, format!("nothing was heard for {} s", silence.as_secs()))
            })?,
        };
        match frame {
            None => self.ended = true,
            Some(Err(error)) => return Err(lost(&self.answer.action, error.to_string())),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.buffer.extend_from_slice(&data);
                }
                if self.buffer.len() > LONGEST_LINE {
                    return Err(lost(&self.answer.action, "a line is longer than 16 MiB".to_owned()));
                }
            }
        }
        Ok(())
    }
}

/// An answer of one JSON object a line.
pub struct JsonLines<T> {
    lines: RawLines,
    action: String,
    of: PhantomData<T>,
}

impl<T: DeserializeOwned> JsonLines<T> {
    pub(super) fn new(answer: Answer) -> Self {
        let action = answer.action.clone();
        Self { lines: RawLines::new(answer, None), action, of: PhantomData }
    }

    /// The next object, or `None` at the end.
    ///
    /// # Errors
    /// When the connection breaks, a line is not such an object, or the gateway says that it cannot go on.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        while let Some(line) = self.lines.next().await? {
            // Empty lines keep a quiet connection alive.
            if line.trim().is_empty() {
                continue;
            }
            // A stream that cannot go on says why in its last line.
            if let Ok(ProblemLine { problem }) = serde_json::from_str(&line) {
                return Err(ClientError::Refused(Box::new(problem)));
            }
            return serde_json::from_str(&line).map(Some).map_err(|error| ClientError::Garbled {
                action: self.action.clone(),
                why: error.to_string(),
            });
        }
        Ok(None)
    }
}
