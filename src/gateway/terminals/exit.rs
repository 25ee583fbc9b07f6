//! How what ran in a terminal ended.

use std::time::Duration;

use crate::runtime::ExecControl;

/// How long the engine may take to tell an exit code after the output has ended.
const EXIT_CODE_WITHIN: Duration = Duration::from_secs(5);

/// The exit code of what has said everything; nothing when the engine does not tell it.
pub async fn exit_code(control: &dyn ExecControl) -> Option<i64> {
    let asked = async {
        loop {
            match control.exit_code().await {
                Ok(Some(code)) => return Some(code),
                Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(_) => return None,
            }
        }
    };
    tokio::time::timeout(EXIT_CODE_WITHIN, asked).await.ok().flatten()
}
