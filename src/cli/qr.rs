//! Pictures for cameras, of characters.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::exit::{Failure, usage};

/// The picture of a text, with the quiet edge that cameras want, and a line break at its end.
///
/// What is light in it is drawn, because terminals are dark; cameras read it the other way round, too.
///
/// # Errors
/// When the text is too long for one.
pub fn drawn(text: &str) -> Result<String, Failure> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L)
        .map_err(|error| usage("this does not fit into a picture").detail(error.to_string()))?;
    let mut picture = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .quiet_zone(true)
        .build();
    picture.push('\n');
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_fits_a_terminal_of_eighty_columns_and_24_lines_or_a_few_more() {
        let link = format!("https://192.168.178.100:8443/#code={}", "0".repeat(64));
        let picture = drawn(&link).expect("a picture");
        let widest = picture.lines().map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|width| (21 + 8..=80).contains(&width)), "{widest:?}");
        assert!(picture.lines().count() <= 26, "{}", picture.lines().count());
        assert!(
            picture.ends_with('\n') && picture.chars().all(|c| " \u{2580}\u{2584}\u{2588}\n".contains(c))
        );
        // The quiet edge is drawn, the corner marks are not.
        assert!(picture.starts_with("\u{2588}\u{2588}\u{2588}\u{2588}"), "{picture}");
        assert!(drawn(&"x".repeat(3000)).is_err());
    }
}
