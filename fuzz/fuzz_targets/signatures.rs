//! Nobody is believed without a secret of ours, whatever stands in the headers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mimir_fuzz::model::secret::Secret;
use mimir_fuzz::model::webhook::SenderKind;
use mimir_fuzz::webhooks::headers::Headers;
use mimir_fuzz::webhooks::signature::verify;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let mut next = || lines.next().unwrap_or_default().to_owned();
    let names = ["sentry-hook-signature", "x-hub-signature-256", "webhook-id", "webhook-timestamp", "webhook-signature", "authorization"];
    let headers = Headers::new(names.map(|name| (name.to_owned(), next())));
    let body = next();
    let secrets = [Secret::new("8d1f6b0c55f94b0f8f0a2f2f3a6f6a1e"), Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
    for kind in [SenderKind::Sentry, SenderKind::Github, SenderKind::Generic] {
        assert!(verify(kind, &secrets, &headers, body.as_bytes(), 1_614_265_330_000).is_err());
        assert!(verify(kind, &[], &headers, body.as_bytes(), 1_614_265_330_000).is_err());
    }
});
