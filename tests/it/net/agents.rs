//! Providers of every kind that frames call, as their servers answer, and what agents make of the answers.
//!
//! A call says in its text what becomes of it (`call 17 whole;`); what it used follows from its number, so that every
//! answer is told from every other.

use mimir::model::usage::{Price, Tokens};
use mimir::models::{ModelSettings, ProviderKind, ProviderSettings};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::support::provider;

/// How a provider writes, and what it is called here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Chat,
    Responses,
    Messages,
    Gemini,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is answered, and says what it used.
    Whole,
    /// It is answered, and says nothing of what it used.
    Untold,
    /// The provider breaks off in the middle.
    BrokenOff,
    /// The agent goes away in the middle.
    Left,
    /// The provider refuses it.
    Refused,
}

impl Dialect {
    pub const ALL: [Self; 4] = [Self::Chat, Self::Responses, Self::Messages, Self::Gemini];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "vllm-here",
            Self::Responses => "openai",
            Self::Messages => "anthropic",
            Self::Gemini => "google",
        }
    }

    /// Millionths of a dollar for a million tokens; no two alike.
    pub fn price(self) -> Price {
        let (input, output, cache_read) = match self {
            Self::Chat => (270_000, 1_100_000, 70_000),
            Self::Responses => (1_250_000, 10_000_000, 125_000),
            Self::Messages => (3_000_000, 15_000_000, 300_000),
            Self::Gemini => (1_250_001, 9_999_999, 310_000),
        };
        Price { input, output, cache_read, cache_write: 0 }
    }

    /// With a model of its own for every call, so that the books tell of each by itself.
    pub fn settings(self, address: &str, calls: usize) -> ProviderSettings {
        let kind = match self {
            Self::Chat => ProviderKind::OpenAiCompatible,
            Self::Responses => ProviderKind::OpenAi,
            Self::Messages => ProviderKind::Anthropic,
            Self::Gemini => ProviderKind::Google,
        };
        let one = |number| ModelSettings {
            id: model(number),
            price: Some(self.price()),
            ..ModelSettings::default()
        };
        let models = (0..calls).map(one).collect();
        ProviderSettings { models, ..provider(self.name(), kind, &format!("{address}/{}", self.name())) }
    }

    /// The path behind the broker's address, and the body.
    pub fn request(self, number: usize, fate: Fate, streams: bool) -> (String, Value) {
        let (text, model) = (format!("call {number} {fate:?};"), model(number));
        let messages = json!([{"role": "user", "content": text}]);
        match self {
            Self::Chat => (
                "chat/completions".to_owned(),
                json!({"model": model, "stream": streams, "max_tokens": 1_000, "messages": messages}),
            ),
            Self::Responses => (
                "responses".to_owned(),
                json!({"model": model, "stream": streams, "max_output_tokens": 1_000, "input": messages}),
            ),
            Self::Messages => (
                "messages".to_owned(),
                json!({"model": model, "stream": streams, "max_tokens": 1_000, "messages": messages}),
            ),
            Self::Gemini => {
                let verb = if streams { "streamGenerateContent?alt=sse" } else { "generateContent" };
                let body = json!({"contents": [{"parts": [{"text": text}]}],
                    "generationConfig": {"maxOutputTokens": 1_000}});
                (format!("models/{model}:{verb}"), body)
            }
        }
    }

    /// What a call with that number used.
    pub fn used(self, number: usize) -> Tokens {
        let n = number as u64;
        let reasoning = if self == Self::Messages { 0 } else { n % 3 };
        Tokens { input: 900 + n, output: 10 + n % 7, reasoning, cache_read: 100 * (n % 5), cache_write: 0 }
    }

    fn usage(self, used: Tokens) -> Value {
        let (input, output) = (used.input + used.cache_read, used.output + used.reasoning);
        match self {
            Self::Chat => json!({"prompt_tokens": input, "completion_tokens": output,
                "prompt_tokens_details": {"cached_tokens": used.cache_read},
                "completion_tokens_details": {"reasoning_tokens": used.reasoning}}),
            Self::Responses => json!({"input_tokens": input, "output_tokens": output,
                "input_tokens_details": {"cached_tokens": used.cache_read},
                "output_tokens_details": {"reasoning_tokens": used.reasoning}}),
            Self::Messages => json!({"input_tokens": used.input, "output_tokens": used.output,
                "cache_read_input_tokens": used.cache_read}),
            Self::Gemini => json!({"promptTokenCount": input, "candidatesTokenCount": used.output,
                "thoughtsTokenCount": used.reasoning, "cachedContentTokenCount": used.cache_read}),
        }
    }

    /// What it says, in pieces.
    fn says(self, model: &str, usage: Option<Value>, streams: bool) -> Vec<String> {
        const WORDS: [&str; 3] = ["All ", "is ", "well."];
        let event = |event: Value| format!("data: {event}\n\n");
        let mut said: Vec<String> = Vec::new();
        if !streams {
            let text = WORDS.concat();
            let mut whole = match self {
                Self::Chat => json!({"model": model, "choices": [{"index": 0, "finish_reason": "stop",
                    "message": {"role": "assistant", "content": text}}]}),
                Self::Responses => json!({"model": model, "status": "completed",
                    "output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}]}),
                Self::Messages => json!({"model": model, "stop_reason": "end_turn",
                    "content": [{"type": "text", "text": text}]}),
                Self::Gemini => json!({"modelVersion": model,
                    "candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": text}]}}]}),
            };
            if let Some(usage) = usage {
                whole[if self == Self::Gemini { "usageMetadata" } else { "usage" }] = usage;
            }
            let whole = whole.to_string();
            let (first, second) = whole.split_at(whole.len() / 2);
            return vec![first.to_owned(), second.to_owned()];
        }
        if self == Self::Messages {
            // It tells at once what was asked, and at the end what was answered.
            let mut message = json!({"model": model, "role": "assistant"});
            if let Some(usage) = &usage {
                message["usage"] = usage.clone();
                message["usage"]["output_tokens"] = 1.into();
            }
            said.push(event(json!({"type": "message_start", "message": message})));
        }
        for word in WORDS {
            said.push(event(match self {
                Self::Chat => json!({"model": model, "choices": [{"index": 0, "delta": {"content": word}}]}),
                Self::Responses => json!({"type": "response.output_text.delta", "delta": word}),
                Self::Messages => {
                    json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}})
                }
                Self::Gemini => {
                    json!({"modelVersion": model, "candidates": [{"content": {"parts": [{"text": word}]}}]})
                }
            }));
        }
        match self {
            Self::Chat => {
                said.push(event(
                    json!({"model": model, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
                ));
                said.extend(usage.map(|usage| event(json!({"model": model, "choices": [], "usage": usage}))));
                said.push("data: [DONE]\n\n".to_owned());
            }
            Self::Responses => said.push(event(json!({"type": "response.completed",
                "response": {"model": model, "status": "completed", "usage": usage}}))),
            Self::Messages => {
                let mut end = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}});
                if let Some(usage) = usage {
                    end["usage"] = json!({"output_tokens": usage["output_tokens"]});
                }
                said.extend([event(end), event(json!({"type": "message_stop"}))]);
            }
            Self::Gemini => said.push(event(json!({"modelVersion": model, "usageMetadata": usage,
                "candidates": [{"finishReason": "STOP", "content": {"parts": []}}]}))),
        }
        said
    }

    /// What an agent takes down for an answer that it read to its end: none when the answer does not say it.
    pub fn reckoned_by_the_agent(self, body: &str, streams: bool) -> Option<Tokens> {
        let mut said: Vec<Value> = Vec::new();
        if streams {
            let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
            said.extend(data.filter_map(|data| serde_json::from_str(data).ok()));
        } else {
            said.push(serde_json::from_str(body).ok()?);
        }
        let number =
            |usage: &Value, pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let last = |name: &str| said.iter().rev().map(|one| &one[name]).find(|usage| usage.is_object());
        Some(match self {
            Self::Chat => {
                let usage = last("usage")?;
                let cache_read = number(usage, "/prompt_tokens_details/cached_tokens");
                let reasoning = number(usage, "/completion_tokens_details/reasoning_tokens");
                Tokens {
                    input: number(usage, "/prompt_tokens") - cache_read,
                    output: number(usage, "/completion_tokens") - reasoning,
                    reasoning,
                    cache_read,
                    cache_write: 0,
                }
            }
            Self::Responses => {
                let usage = match last("response") {
                    Some(response) => &response["usage"],
                    None => last("usage")?,
                };
                if !usage.is_object() {
                    return None;
                }
                let cache_read = number(usage, "/input_tokens_details/cached_tokens");
                let reasoning = number(usage, "/output_tokens_details/reasoning_tokens");
                Tokens {
                    input: number(usage, "/input_tokens") - cache_read,
                    output: number(usage, "/output_tokens") - reasoning,
                    reasoning,
                    cache_read,
                    cache_write: 0,
                }
            }
            Self::Messages => {
                let end = last("usage")?;
                let begin = said.iter().map(|one| &one["message"]["usage"]).find(|usage| usage.is_object());
                let begin = begin.unwrap_or(end);
                Tokens {
                    input: number(begin, "/input_tokens"),
                    output: number(end, "/output_tokens"),
                    cache_read: number(begin, "/cache_read_input_tokens"),
                    ..Tokens::default()
                }
            }
            Self::Gemini => {
                let usage = last("usageMetadata")?;
                let cache_read = number(usage, "/cachedContentTokenCount");
                Tokens {
                    input: number(usage, "/promptTokenCount") - cache_read,
                    output: number(usage, "/candidatesTokenCount"),
                    reasoning: number(usage, "/thoughtsTokenCount"),
                    cache_read,
                    cache_write: 0,
                }
            }
        })
    }
}

/// The model that only this call asks for.
pub fn model(number: usize) -> String {
    format!("m-{number}")
}

/// All four of them, at one address. They end with the value.
pub async fn providers() -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut calls = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            calls.spawn(answer(stream));
        }
    });
    (format!("http://{address}"), server)
}

async fn answer(mut stream: TcpStream) {
    let Some((path, body)) = request(&mut stream).await else { return };
    let dialect = Dialect::ALL.into_iter().find(|one| path.starts_with(&format!("/{}/", one.name())));
    let dialect = dialect.expect("a provider's path");
    let text = body.to_string();
    let marks = text.split("call ").nth(1).and_then(|rest| rest.split(';').next()).expect("a mark");
    let (number, fate) = marks.split_once(' ').expect("number and fate");
    let number: usize = number.parse().expect("a number");
    let streams = body["stream"] == true || path.contains(":stream");
    let usage = (fate != "Untold").then(|| dialect.usage(dialect.used(number)));
    let pieces = dialect.says(&model(number), usage, streams);
    let (status, kind) = match fate {
        "Refused" => ("503 Service Unavailable", "application/json"),
        _ if streams => ("200 OK", "text/event-stream"),
        _ => ("200 OK", "application/json"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    let told = match fate {
        "Refused" => vec![json!({"error": {"message": "overloaded"}}).to_string()],
        "BrokenOff" | "Left" => pieces[..pieces.len() / 2].to_vec(),
        _ => pieces,
    };
    let chunk = |piece: &String| format!("{:x}\r\n{piece}\r\n", piece.len());
    let mut all: String = std::iter::once(head).chain(told.iter().map(chunk)).collect();
    if !matches!(fate, "BrokenOff" | "Left") {
        all.push_str("0\r\n\r\n");
    }
    if stream.write_all(all.as_bytes()).await.is_ok() && fate == "Left" {
        // Until whoever asked is gone.
        let _ = stream.read(&mut [0; 16]).await;
    }
}

async fn request(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = heard.windows(4).position(|at| at == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&heard[..end]).to_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
            let whole = end + 4 + length.unwrap_or(0_usize);
            if heard.len() >= whole {
                let first = String::from_utf8_lossy(&heard[..end]).into_owned();
                let path = first.split(' ').nth(1)?.to_owned();
                return Some((path, serde_json::from_slice(&heard[end + 4..whole]).ok()?));
            }
        }
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => heard.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}
