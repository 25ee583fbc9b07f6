//! What is found, what is left alone, and what is said about it.

use super::*;

fn home(files: &[(&str, &str)]) -> (tempfile::TempDir, BTreeMap<String, String>) {
    let home = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let file = home.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("made");
        std::fs::write(file, text).expect("written");
    }
    let env = BTreeMap::from([("HOME".to_owned(), home.path().display().to_string())]);
    (home, env)
}

#[test]
fn of_each_provider_the_usual_variable_counts() {
    let env = [("GOOGLE_GENERATIVE_AI_API_KEY", "b"), ("GEMINI_API_KEY", "a"), ("OPENAI_API_KEY", " ")];
    let env = env.map(|(name, key)| (name.to_owned(), key.to_owned())).into();
    let found = of_environment(&env);
    let names: Vec<_> = found.iter().map(|found| (found.name.as_str(), found.key.clone())).collect();
    assert_eq!(names, [("google", Key::Variable("GEMINI_API_KEY".to_owned()))]);
    assert_eq!(found[0].secret(&env), Some(Secret::new("a")));
}

#[test]
fn keys_of_opencode_are_found_and_accounts_are_left_alone() {
    let auth = r#"{"anthropic": {"type": "oauth", "refresh": "r", "access": "a", "expires": 1},
        "openrouter": {"type": "api", "key": "sk-or-1 "}, "deepseek": {"type": "api", "key": "x"},
        "openai": {"type": "api"}}"#;
    let (_home, env) = home(&[(".local/share/opencode/auth.json", auth)]);
    let (found, notes) = of_opencode(&env);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].name.as_str(), &found[0].key), ("openrouter", &Key::Text(Secret::new("sk-or-1"))));
    assert!(notes.iter().any(|note| note.contains("anthropic with an account")), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("deepseek")), "{notes:?}");
}

#[test]
fn providers_of_opencodes_configuration_are_found_also_behind_comments() {
    let config = r#"{
        // mine
        "provider": {
            "local": {"npm": "@ai-sdk/openai-compatible", "options": {"baseURL": "http://127.0.0.1:1/v1"},
                      "models": {"qwen3": {}, "glm": {}}},
            "work": {"npm": "@ai-sdk/anthropic", "options": {"baseURL": "https://llm.example/v1", "apiKey": "{env:WORK}"}},
            "file": {"npm": "@ai-sdk/openai", "options": {"apiKey": "{file:~/key}"}},
            "nowhere": {"npm": "@ai-sdk/openai-compatible"},
            "odd": {"npm": "some-package", "options": {"baseURL": "http://127.0.0.1:2/v1"}}, /* the last */
        },
    }"#;
    let (_home, env) = home(&[(".config/opencode/opencode.jsonc", config)]);
    let (found, notes) = of_opencode(&env);
    let names: Vec<&str> = found.iter().map(|found| found.name.as_str()).collect();
    assert_eq!((names, notes.len()), (vec!["local", "work"], 0), "{notes:?}");
    assert_eq!((&found[0].key, found[0].models.len()), (&Key::None, 2));
    assert_eq!(found[1].key, Key::Variable("WORK".to_owned()));
}

/// A company's proxy: the key is good there, and must not be shown to anybody else.
#[test]
fn a_key_goes_where_opencode_sends_it() {
    let auth = r#"{"anthropic": {"type": "api", "key": "sk-corp"}}"#;
    let config = r#"{"provider": {"anthropic": {"options": {"baseURL": "https://llm.example/v1"}}}}"#;
    let (_home, env) =
        home(&[(".local/share/opencode/auth.json", auth), (".config/opencode/opencode.json", config)]);
    let (found, _) = of_opencode(&env);
    assert_eq!((found.len(), &found[0].key), (1, &Key::Text(Secret::new("sk-corp"))), "{found:?}");
    assert_eq!(found[0].base_url.as_ref().map(url::Url::as_str), Some("https://llm.example/v1"));
}

#[test]
fn a_file_that_is_not_understood_is_told() {
    let (_home, env) =
        home(&[(".local/share/opencode/auth.json", "[]"), (".config/opencode/opencode.json", "{")]);
    let (found, notes) = of_opencode(&env);
    assert_eq!((found.len(), notes.len()), (0, 2), "{notes:?}");
    assert_eq!(of_opencode(&BTreeMap::new()), (Vec::new(), Vec::new()), "no home at all");
}
