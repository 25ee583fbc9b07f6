//! The image that a project wants besides the frame image.

use std::path::Path;

use crate::cli::exit::{Failure, usage};
use crate::config::project_file::read_untrusted;
use crate::model::devcontainer::{Devcontainer, PLACES};
use crate::model::kit::Kit;
use crate::model::names::suggest;
use crate::model::shell::quoted;
use crate::wire::images::ProjectImage;
use crate::wire::problem::Problem;

/// What a project adds to the frame image.
const CONTAINERFILE: &str = ".mimir/Containerfile";
/// Where the gateway puts projects' images.
pub const IMAGE: &str = "localhost/mimir-project";

/// The ports on which a frame's preview finds a server by itself: its own, and what images/frame/mimir-preview tries.
const FOUND: [u16; 17] =
    [3000, 5173, 8000, 8080, 4200, 5000, 4321, 1313, 4000, 8888, 3001, 5174, 4173, 8001, 8081, 9000, 6006];

/// An image to be built.
pub struct Wanted {
    /// What the gateway is asked for. Its name is the project's, or that of its tools.
    pub image: ProjectImage,
    /// What of the project's own description was left out, and what is left to do by hand.
    pub remarks: Vec<String>,
}

/// What is wanted, by names of tools and for a project's folder.
///
/// # Errors
/// A project that says nothing of an image, or says it wrongly.
pub fn wanted(with: &[Kit], folder: Option<&Path>) -> Result<Option<Wanted>, Failure> {
    let Some(folder) = folder else {
        let with = words(with.to_vec());
        let image = || ProjectImage { name: with.join("-"), with: with.clone(), containerfile: None };
        return Ok((!with.is_empty()).then(|| Wanted { image: image(), remarks: Vec::new() }));
    };
    let real = std::path::absolute(folder).unwrap_or_default();
    let name = real.file_name().and_then(|name| suggest(&name.to_string_lossy()));
    let name = name.unwrap_or_else(|| "project".to_owned());
    if let Some(text) = read(&folder.join(CONTAINERFILE))? {
        let image = ProjectImage { name, with: words(with.to_vec()), containerfile: Some(text) };
        return Ok(Some(Wanted { image, remarks: Vec::new() }));
    }
    let Some((file, found)) = devcontainer(folder)? else {
        let place = folder.join(CONTAINERFILE);
        return Err(usage(format!("{} is not there, and no devcontainer.json either", place.display()))
            .hint("it begins with `FROM mimir-frame`; for tools alone `mimir image build --with rust` does")
            .into());
    };
    let kits = with.iter().chain(&found.kits).copied().collect();
    let image = ProjectImage { name, with: words(kits), containerfile: found.containerfile() };
    if image.with.is_empty() && image.containerfile.is_none() {
        return Err(usage(format!("{file} asks for nothing that a frame has not already"))
            .detail(found.left_out.join("\n"))
            .hint("`mimir frame create` makes a frame on the usual image")
            .into());
    }
    Ok(Some(Wanted { image, remarks: remarks(file, &found) }))
}

/// What a folder asks for that the frame image has not, in one line with the command that makes it.
pub fn proposal(folder: &Path) -> Option<String> {
    let create = |tag: &str| format!("then make the frame with `--image {IMAGE}:{tag}`");
    let own = |what: &str| {
        let name = suggest(&folder.file_name()?.to_string_lossy())?;
        let build = format!("mimir image build --project {}", quoted(&folder.display().to_string()));
        Some(format!("{what} makes an image of its own: `{build}`, {}", create(&name)))
    };
    if folder.join(CONTAINERFILE).is_file() {
        return own(&format!("its {CONTAINERFILE}"));
    }
    if let Ok(Some((file, found))) = devcontainer(folder)
        && (!found.kits.is_empty() || found.containerfile().is_some())
    {
        return own(&format!("its {file}"));
    }
    let wanted = Kit::wanted_by(|name| folder.join(name).is_file());
    let (_, marker) = wanted.first()?;
    let names: Vec<String> = wanted.iter().map(|(kit, _)| kit.to_string()).collect();
    let build = format!("mimir image build --with {}", names.join(","));
    Some(format!(
        "{marker} asks for tools that the frame image lacks: `{build}`, {}",
        create(&names.join("-"))
    ))
}

/// A stranger's file, maybe: no link, no pipe, not without end.
fn read(path: &Path) -> Result<Option<String>, Failure> {
    Ok(read_untrusted(path).map_err(|why| unreadable(path, why))?)
}

fn unreadable(path: &Path, why: String) -> Problem {
    usage(format!("cannot read {}", path.display())).detail(why)
}

fn devcontainer(folder: &Path) -> Result<Option<(&'static str, Devcontainer)>, Failure> {
    for place in PLACES {
        let path = folder.join(place);
        if let Some(text) = read(&path)? {
            let found = Devcontainer::read(&text).map_err(|why| unreadable(&path, why))?;
            return Ok(Some((place, found)));
        }
    }
    Ok(None)
}

fn remarks(file: &str, found: &Devcontainer) -> Vec<String> {
    let mut remarks: Vec<String> =
        found.left_out.iter().map(|what| format!("not taken from {file}: {what}")).collect();
    for command in &found.once {
        remarks.push(format!(
            "{file} wants this run once in a new frame: `mimir frame exec NAME -- sh -c {}`",
            quoted(command)
        ));
    }
    let other: Vec<String> =
        found.ports.iter().filter(|port| !FOUND.contains(port)).map(u16::to_string).collect();
    if let Some(first) = other.first() {
        remarks.push(format!(
            "{file} forwards {}: `mimir frame ports NAME --preview {first}` leads a frame's preview there",
            other.join(", ")
        ));
    }
    remarks
}

/// Each once, in one order: the name of an image is made of them.
fn words(mut kits: Vec<Kit>) -> Vec<String> {
    kits.sort();
    kits.dedup();
    let mut words: Vec<String> = kits.iter().map(ToString::to_string).collect();
    words.sort();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::Builder::new().prefix("shop-").tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        folder
    }

    #[test]
    fn a_projects_containerfile_comes_before_its_devcontainer() {
        let both = folder(&[
            (".mimir/Containerfile", "FROM mimir-frame\nRUN true\n"),
            (".devcontainer/devcontainer.json", r#"{"features": {"x/go:1": {}}}"#),
        ]);
        let image = wanted(&[Kit::Ruby], Some(both.path())).expect("good").expect("wanted").image;
        assert_eq!(image.with, ["ruby"]);
        assert!(image.containerfile.is_some_and(|text| text.contains("RUN true")));
    }

    #[test]
    fn a_devcontainer_is_taken_as_far_as_it_can_be_and_proposed() {
        let text = r#"{"features": {"x/go:1": {}}, "forwardPorts": [8080, 7000, 9229], "postCreateCommand": "make deps"}"#;
        let project = folder(&[(".devcontainer/devcontainer.json", text)]);
        let found = wanted(&[], Some(project.path())).expect("good").expect("wanted");
        assert_eq!(found.image.with, ["go"]);
        let remarks = found.remarks.join("\n");
        assert!(remarks.contains("sh -c 'make deps'"), "{remarks}");
        assert!(
            remarks.contains("forwards 7000, 9229: `mimir frame ports NAME --preview 7000`"),
            "{remarks}"
        );
        let line = proposal(project.path()).expect("a proposal");
        assert!(line.contains("devcontainer.json") && line.contains("image build --project"), "{line}");

        let plain = folder(&[(".devcontainer.json", "{}")]);
        assert!(wanted(&[], Some(plain.path())).is_err(), "nothing to build");
        assert_eq!(proposal(plain.path()), None);
        assert!(wanted(&[], Some(folder(&[]).path())).is_err(), "nothing is said at all");
        assert!(wanted(&[], None).expect("good").is_none());
    }

    #[test]
    fn what_the_preview_finds_by_itself_needs_no_command() {
        let script = include_str!("../../../../images/frame/mimir-preview");
        let line = script.lines().find_map(|line| line.strip_prefix("readonly USUAL=("));
        let tried = line.and_then(|line| line.strip_suffix(')')).expect("the ports that it tries");
        let tried: Vec<u16> = tried.split(' ').map(|port| port.parse().expect("a port")).collect();
        assert_eq!((FOUND[0], &FOUND[1..]), (3000, tried.as_slice()), "the script's own");

        let usual = Devcontainer { ports: FOUND.to_vec(), ..Devcontainer::default() };
        assert_eq!(remarks("x", &usual), Vec::<String>::new());
        let one = Devcontainer { ports: vec![3000, 7000], ..Devcontainer::default() };
        assert_eq!(remarks("x", &one).len(), 1);
    }

    #[test]
    fn a_broken_devcontainer_is_an_error_when_asked_for_and_no_proposal() {
        let broken = folder(&[(".devcontainer.json", "{ nope")]);
        assert!(wanted(&[], Some(broken.path())).is_err());
        assert_eq!(proposal(broken.path()), None);
    }
}
