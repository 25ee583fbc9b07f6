//! Every kind of the table is found as itself, ordinary text holds nothing, and no finding tells what it found.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::super::patterns::Letters;
use super::*;

/// Letters in which nothing repeats soon, made from no real token.
fn body(letters: Letters, count: usize) -> String {
    let all: Vec<u8> =
        (b'0'..=b'z').filter(|byte| letters.have(*byte) && byte.is_ascii_alphanumeric()).collect();
    (0..count).map(|at| char::from(all[(at * 7 + at / 5 + 3) % all.len()])).collect()
}

fn kinds(text: &str) -> Vec<&'static str> {
    scan(text).into_iter().map(|finding| finding.kind).collect()
}

#[test]
fn every_kind_is_found_as_itself_in_the_middle_of_a_text_and_is_not_repeated() {
    assert!(PATTERNS.len() >= 40, "{}", PATTERNS.len());
    for pattern in PATTERNS {
        for begin in pattern.begins {
            let token = format!("{begin}{}", body(pattern.letters, pattern.least));
            let text = format!("first\nlet it = \"{token}\"; // see\nlast {token}");
            let found = scan(&text);
            let seen: Vec<_> = found.iter().map(|finding| (finding.line, finding.kind)).collect();
            assert_eq!(seen, [(2, pattern.kind), (3, pattern.kind)], "{token}");
            for finding in found {
                assert!(finding.is_sure && finding.what == pattern.what);
                assert!(!finding.excerpt.contains(&token[begin.len()..]), "{finding:?}");
                assert!(finding.excerpt.contains(&format!("{begin}…")), "{finding:?}");
            }
        }
    }
}

#[test]
fn one_letter_too_few_or_a_word_around_it_is_no_token() {
    for pattern in PATTERNS {
        let begin = pattern.begins[0];
        let short = format!(" {begin}{} ", body(pattern.letters, pattern.least - 1));
        assert!(!kinds(&short).contains(&pattern.kind), "{short}");
        let inside = format!(" word{begin}{} ", body(pattern.letters, pattern.least));
        if begin.starts_with(|c: char| c.is_alphanumeric()) {
            assert!(!kinds(&inside).contains(&pattern.kind), "{inside}");
        }
    }
}

#[test]
fn what_stands_for_a_token_in_documents_is_none() {
    for text in [
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "AKIAIOSFODNN7EXAMPLE",
        "api_key = \"YOUR_API_KEY_GOES_HERE_PLEASE1\"",
        "https://user:password@example.com/x",
        "postgres://app:${DB_PASSWORD}@db/app",
        "token = mimir-secret-0123456789abcdef0123456789abcdef",
        "password: str = field(default_factory=lambda: make_password(20))",
        "let token = self.tokens.iter().find(|token| token.is_active());",
        "see https://example.com/a/secret=/with/a/very/long/path/of/9/words",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "sha512-9y3l5Qx5xW1m4rj0Zl8s7WkV0bq3hQ6v2d1c8b7a6f5e4d3c2b1a0f9e8d7c6b5a4",
    ] {
        assert_eq!(kinds(text), Vec::<&str>::new(), "{text}");
    }
}

#[test]
fn keys_passwords_and_named_secrets_are_found() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzb21lYm9keSJ9.c2lnbmF0dXJlLW9mLW5vYm9keS1hdC1hbGw";
    for (text, kind, left) in [
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "private-key", "-----BEGIN PRIVATE KEY-----…"),
        (
            "\"key\": \"-----BEGIN RSA PRIVATE KEY-----\\nMIIEow\\n-----END\"",
            "private-key",
            "PRIVATE KEY-----…\"",
        ),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "private-key", "…"),
        (&format!("Authorization: Bearer {jwt}"), "jwt", "Authorization: Bearer eyJ…"),
        ("bot 123456789:AAhdZ-9qW_3xKfT7mLpR2vYc8bNsJ4gE6uQ", "telegram-token", "bot …"),
        (
            "git clone https://me:hunter2pass@example.com/r.git",
            "password-in-address",
            "https://me:…@example.com/r.git",
        ),
        (
            "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzQ8k2Lm9v",
            "named-secret",
            "AWS_SECRET_ACCESS_KEY=…",
        ),
        ("  \"apiKey\": \"q8Zt4Lw0vR7yN2xKc5Mb1\",", "named-secret", "\"apiKey\": \"…\","),
    ] {
        let found = scan(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(found[0].kind, kind, "{text}");
        assert!(found[0].excerpt.contains(left), "{:?}", found[0]);
        assert_eq!(found[0].is_sure, kind != "named-secret");
    }
}

#[test]
fn a_known_secret_comes_first_has_its_name_and_is_found_in_any_spelling() {
    let (one, two) =
        (Secret::new("ghp_a8d7Kq2mX0vZ4rT6yB1nL9cW5eJ3hU7oPfGs"), Secret::new("correct-horse-battery"));
    let scanner =
        Scanner::knowing([("the secret github".to_owned(), &one), ("the secret db".to_owned(), &two)]);
    let text = format!(
        "a\nt = {}\nu = {}\nv = {}\nw = correct%2Dhorse-battery; ghp_{}\n",
        one.reveal(),
        STANDARD.encode(two.reveal()),
        two.reveal().chars().rev().collect::<String>(),
        body(Letters::Alphanumeric, 36),
    );
    let found = scanner.scan(&text);
    let seen: Vec<_> = found.iter().map(|it| (it.line, it.kind, it.what.as_str())).collect();
    assert_eq!(
        seen,
        [
            (2, "known", "the secret github"),
            (3, "known", "the secret db"),
            (4, "known", "the secret db"),
            (5, "known", "the secret db"),
            (5, "github-token", "a GitHub token"),
        ]
    );
    assert_eq!(found[3].excerpt, "w = …; ghp_…");
    assert!(
        found.iter().all(|it| !it.excerpt.contains("horse") && !it.excerpt.contains("a8d7")),
        "{found:?}"
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_fall_and_lines_are_counted(text in "[ -~é…\n\r\t]{0,300}", number in 0_usize..6) {
        let token = format!("ghp_{}", body(Letters::Alphanumeric, 36));
        let before = "é…\n".repeat(number);
        let found = scan(&format!("{before} {token} {text}"));
        prop_assert_eq!(found.first().map(|it| (it.line, it.kind)), Some((number + 1, "github-token")));
        prop_assert!(found.iter().all(|it| !it.excerpt.contains(&token)));
    }

    #[test]
    fn no_letters_of_a_stranger_make_it_fall(text in "\\PC{0,200}") {
        let known = Secret::new("correct-horse");
        let _ = Scanner::knowing([("x".to_owned(), &known)]).scan(&text);
    }
}
