//! The routes of browsers.

use hyper::Method;

use super::error::ClientError;
use super::http::Call;
use super::routes::{GatewayClient, with_body};
use mimir_model::wire::tokens::TokenView;
use mimir_model::wire::web::{
    ConfirmTotp, CreateWebCode, LoginView, RecoveryCodes, SetPassword, TotpApp, WebLink,
};

const LOGIN: &str = "/v1/web/login";
const PASSWORD: &str = "/v1/web/password";
const TOTP: &str = "/v1/web/totp";
const SESSIONS: &str = "/v1/web/sessions";

impl GatewayClient {
    /// `POST /v1/web/codes`: a link that lets a browser in, once.
    ///
    /// # Errors
    /// See [`ClientError`]; the same holds for every method below.
    pub async fn web_link(&self, wanted: &CreateWebCode) -> Result<WebLink, ClientError> {
        let call = with_body(Call::new(Method::POST, "/v1/web/codes"), wanted)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `GET /v1/web/login`: how the owner comes in from a browser.
    pub async fn web_login(&self) -> Result<LoginView, ClientError> {
        self.get(LOGIN.to_owned()).await
    }

    /// `PUT /v1/web/password`
    pub async fn set_web_password(&self, wanted: &SetPassword) -> Result<LoginView, ClientError> {
        let call = with_body(Call::new(Method::PUT, PASSWORD), wanted)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `DELETE /v1/web/password`
    pub async fn remove_web_password(&self) -> Result<LoginView, ClientError> {
        self.json(Call::new(Method::DELETE, PASSWORD)).await.map(|(_, value)| value)
    }

    /// `POST /v1/web/totp`: a secret for an app, which counts once a code of it is confirmed.
    pub async fn begin_web_totp(&self) -> Result<TotpApp, ClientError> {
        self.json(Call::new(Method::POST, TOTP)).await.map(|(_, value)| value)
    }

    /// `PUT /v1/web/totp`: the only time that recovery codes are told.
    pub async fn confirm_web_totp(&self, wanted: &ConfirmTotp) -> Result<RecoveryCodes, ClientError> {
        let call = with_body(Call::new(Method::PUT, TOTP), wanted)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `DELETE /v1/web/totp`
    pub async fn remove_web_totp(&self) -> Result<LoginView, ClientError> {
        self.json(Call::new(Method::DELETE, TOTP)).await.map(|(_, value)| value)
    }

    /// `GET /v1/web/sessions`: also those that are over.
    pub async fn web_sessions(&self) -> Result<Vec<TokenView>, ClientError> {
        self.get(SESSIONS.to_owned()).await
    }

    /// `DELETE /v1/web/sessions`: ends all, and says which those were.
    pub async fn end_web_sessions(&self) -> Result<Vec<TokenView>, ClientError> {
        self.json(Call::new(Method::DELETE, SESSIONS)).await.map(|(_, value)| value)
    }
}
