//! How well-known secrets look. A table of facts: what each begins with, which letters follow, and how many. Pure.

/// Letters that a token is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letters {
    /// `0-9a-f`
    Hex,
    /// `0-9A-Za-z`
    Alphanumeric,
    /// `0-9A-Z`
    Upper,
    /// `0-9A-Za-z_-`
    Url,
    /// `0-9A-Za-z_-.`
    Dotted,
    /// `0-9A-Za-z+/=_-`
    Base64,
    /// `0-9A-Za-z/`
    Path,
}

impl Letters {
    pub(super) fn have(self, byte: u8) -> bool {
        match self {
            Self::Hex => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'),
            Self::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-'),
            Self::Path => byte.is_ascii_alphanumeric() || byte == b'/',
        }
    }
}

/// One kind of token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pattern {
    /// A stable word.
    pub(super) kind: &'static str,
    /// For people.
    pub(super) what: &'static str,
    /// What it begins with, in one of several ways.
    pub(super) begins: &'static [&'static str],
    /// What follows.
    pub(super) letters: Letters,
    /// How many of them at least,
    pub(super) least: usize,
    /// and at most; a longer run of letters is something else.
    pub(super) most: usize,
}

const fn pattern(
    kind: &'static str,
    what: &'static str,
    begins: &'static [&'static str],
    letters: Letters,
    (least, most): (usize, usize),
) -> Pattern {
    Pattern { kind, what, begins, letters, least, most }
}

/// However many.
const ANY: usize = usize::MAX;

use Letters::{Alphanumeric, Base64, Dotted, Hex, Path, Upper, Url};

/// All kinds that are known by their beginning.
pub(super) const PATTERNS: &[Pattern] = &[
    pattern("github-token", "a GitHub token", &["ghp_", "gho_", "ghu_", "ghr_"], Alphanumeric, (36, 255)),
    // The newer ones carry the app's number and a JWT.
    pattern("github-app-token", "a GitHub app token", &["ghs_"], Dotted, (36, ANY)),
    pattern("github-fine-grained", "a GitHub fine-grained token", &["github_pat_"], Url, (60, 255)),
    pattern(
        "gitlab-token",
        "a GitLab token",
        &["glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "glimt-", "glagent-", "gloas-"],
        Dotted,
        (20, 320),
    ),
    pattern("bitbucket-token", "a Bitbucket app password", &["ATBB"], Base64, (24, 60)),
    pattern("atlassian-token", "an Atlassian API token", &["ATATT3"], Base64, (100, ANY)),
    pattern("aws-access-key", "an AWS access key id", &["AKIA", "ASIA", "ABIA", "ACCA"], Upper, (16, 16)),
    pattern("google-api-key", "a Google API key", &["AIza"], Url, (35, 35)),
    pattern("google-oauth-secret", "a Google OAuth client secret", &["GOCSPX-"], Url, (28, 28)),
    pattern("google-access-token", "a Google access token", &["ya29."], Url, (30, ANY)),
    pattern("anthropic-key", "an Anthropic key", &["sk-ant-"], Url, (32, ANY)),
    pattern("openai-key", "an OpenAI key", &["sk-proj-", "sk-svcacct-", "sk-admin-"], Url, (40, ANY)),
    pattern("openai-old-key", "an OpenAI key", &["sk-"], Alphanumeric, (48, 51)),
    pattern("openrouter-key", "an OpenRouter key", &["sk-or-v1-"], Hex, (64, 64)),
    pattern("groq-key", "a Groq key", &["gsk_"], Alphanumeric, (52, 52)),
    pattern("xai-key", "an xAI key", &["xai-"], Alphanumeric, (70, 90)),
    pattern("perplexity-key", "a Perplexity key", &["pplx-"], Alphanumeric, (40, 64)),
    pattern("replicate-token", "a Replicate token", &["r8_"], Alphanumeric, (37, 37)),
    pattern("huggingface-token", "a Hugging Face token", &["hf_", "api_org_"], Alphanumeric, (34, 40)),
    pattern(
        "slack-token",
        "a Slack token",
        &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xoxe.xoxp-"],
        Url,
        (20, ANY),
    ),
    pattern("slack-app-token", "a Slack app token", &["xapp-"], Url, (20, ANY)),
    pattern("slack-webhook", "a Slack webhook", &["https://hooks.slack.com/services/"], Path, (40, 60)),
    pattern(
        "discord-webhook",
        "a Discord webhook",
        &["https://discord.com/api/webhooks/", "https://discordapp.com/api/webhooks/"],
        Base64,
        (70, 110),
    ),
    pattern(
        "stripe-key",
        "a Stripe key",
        &["sk_live_", "rk_live_", "sk_test_", "rk_test_"],
        Alphanumeric,
        (24, 255),
    ),
    pattern("webhook-secret", "a webhook's signing secret", &["whsec_"], Base64, (24, 128)),
    pattern("npm-token", "an npm token", &["npm_"], Alphanumeric, (36, 36)),
    pattern(
        "pypi-token",
        "a PyPI token",
        &["pypi-AgEIcHlwaS5vcmc", "pypi-AgENdGVzdC5weXBpLm9yZ"],
        Url,
        (50, ANY),
    ),
    pattern("crates-token", "a crates.io token", &["cio"], Alphanumeric, (32, 32)),
    pattern("rubygems-token", "a RubyGems key", &["rubygems_"], Hex, (48, 48)),
    pattern("docker-token", "a Docker Hub token", &["dckr_pat_", "dckr_oat_"], Url, (27, 64)),
    pattern("digitalocean-token", "a DigitalOcean token", &["dop_v1_", "doo_v1_", "dor_v1_"], Hex, (64, 64)),
    pattern("heroku-key", "a Heroku key", &["HRKU-AA"], Url, (58, 58)),
    pattern("flyio-token", "a Fly.io token", &["fo1_", "fm1a_", "fm1r_", "fm2_"], Base64, (43, ANY)),
    pattern("supabase-token", "a Supabase token", &["sbp_", "sb_secret_"], Url, (31, 64)),
    pattern(
        "planetscale-token",
        "a PlanetScale token",
        &["pscale_tkn_", "pscale_pw_", "pscale_oauth_"],
        Dotted,
        (32, 64),
    ),
    pattern("databricks-token", "a Databricks token", &["dapi"], Hex, (32, 32)),
    pattern("sendgrid-key", "a SendGrid key", &["SG."], Dotted, (60, 70)),
    pattern("mailgun-key", "a Mailgun key", &["key-"], Hex, (32, 32)),
    pattern("twilio-key", "a Twilio key", &["SK"], Hex, (32, 32)),
    pattern(
        "shopify-token",
        "a Shopify token",
        &["shpat_", "shpca_", "shppa_", "shpss_"],
        Alphanumeric,
        (32, 32),
    ),
    pattern("square-token", "a Square token", &["sq0atp-", "sq0csp-"], Url, (22, 43)),
    pattern("linear-key", "a Linear key", &["lin_api_", "lin_oauth_"], Alphanumeric, (40, 64)),
    pattern("notion-token", "a Notion token", &["ntn_", "secret_"], Alphanumeric, (43, 50)),
    pattern("postman-key", "a Postman key", &["PMAK-"], Url, (59, 59)),
    pattern("newrelic-key", "a New Relic key", &["NRAK-"], Upper, (27, 27)),
    pattern("sentry-token", "a Sentry token", &["sntrys_", "sntryu_"], Base64, (60, ANY)),
    pattern("grafana-token", "a Grafana token", &["glsa_", "glc_"], Base64, (32, 400)),
    pattern("vault-token", "a Vault token", &["hvs.", "hvb.", "hvr."], Url, (24, 300)),
    pattern("pulumi-token", "a Pulumi token", &["pul-"], Hex, (40, 40)),
    pattern("doppler-token", "a Doppler token", &["dp.pt.", "dp.st.", "dp.sa.", "dp.ct."], Dotted, (40, 64)),
    pattern("onepassword-token", "a 1Password service account", &["ops_eyJ"], Base64, (200, ANY)),
    pattern("azure-storage-key", "an Azure storage key", &["AccountKey="], Base64, (86, 88)),
    pattern("age-key", "an age key", &["AGE-SECRET-KEY-1"], Upper, (58, 58)),
];

/// Words in the name of something that holds a secret, in small letters.
pub(super) const NAMES: &[&str] = &[
    "password",
    "passwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "access_key",
    "access-key",
    "auth_key",
    "private_key",
    "credential",
];
