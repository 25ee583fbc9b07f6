//! `mimir uninstall`

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::serve;
use crate::cli::ask::{can_ask, word};
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Failure, Outcome, usage};
use crate::cli::json::{Uninstalled, UninstalledItem};
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column};
use crate::config::Config;
use crate::daemon;
use crate::model::quantity::size;
use crate::runtime::engine::{EngineCommand, EngineSettings};
use crate::store::key::Keyring;
use crate::store::keyring::DesktopKeyring;
use crate::uninstall::{self, Kind, Place, Refused, Survey, Taken};
use crate::wire::problem::Problem;

/// Remove everything that mimir made on this machine; projects stay
#[derive(Debug, Args)]
#[command(
    after_help = "It shows first what goes, with its size: frames with their homes, conversations, the images \
    and what their builds left, mimir's folder, the files that `mimir setup` wrote. Folders of projects, packages and \
    images of others stay."
)]
pub struct UninstallArgs {
    /// Only show it
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Keep mimir's folder: conversations, backups, key, settings, homes of frames
    #[arg(long)]
    keep_data: bool,
}

pub async fn run(args: &UninstallArgs, context: &Context) -> Outcome {
    let (place, out) = (place(args, context), &context.out);
    let found = out.while_waiting("looking at what is here", uninstall::survey(&place)).await;
    let found = found.map_err(refused)?;
    if args.dry_run && out.json {
        report(&found, &[], context)?;
        return Ok(DONE);
    }
    if !out.json {
        show(&found, context)?;
    }
    if args.dry_run || found.items.is_empty() {
        return Ok(DONE);
    }
    if !is_meant(args, &found, context)? {
        out.say("nothing was removed");
        return Ok(FAILED);
    }

    if out.while_waiting("stopping the gateway", serve::end(context)).await? {
        out.say("the gateway stopped");
    }
    let lock = place.home.is_dir().then(|| daemon::lock_home(&context.paths.lock())).transpose();
    let _lock = lock.map_err(|error| {
        Problem::new(409, "gateway.already", error.to_string())
            .hint("try again: another gateway must not run meanwhile")
    })?;
    // What came or went until the last gateway had ended.
    let found = uninstall::survey(&place).await.map_err(refused)?;
    let tell = |item: &uninstall::Item| out.progress(&format!("removing {}", item.what), "");
    let taken = uninstall::take(&place, found.items.clone(), tell).await;
    out.clear_progress();
    if out.json {
        report(&found, &taken, context)?;
    } else {
        tell_end(&found, &taken, context)?;
    }
    let is_gone = taken.iter().all(|taken| taken.problem.is_none());
    Ok(if is_gone { DONE } else { FAILED })
}

fn place(args: &UninstallArgs, context: &Context) -> Place {
    let paths = &context.paths;
    // A configuration that cannot be read is no reason to stay.
    let config = Config::load(&context.load).map(|loaded| loaded.config).ok();
    let engine = EngineSettings::of_this_process(None, paths.runtime().to_owned());
    let bus = std::env::var("DBUS_SESSION_BUS_ADDRESS").ok();
    let keyring = DesktopKeyring::of_session(paths.home(), bus.as_deref());
    Place {
        home: paths.home().to_owned(),
        runtime: paths.runtime().to_owned(),
        database: config.map_or_else(|| paths.database(), |config| config.database.path),
        user_home: std::env::home_dir().filter(|home| home.is_absolute()),
        etc: PathBuf::from("/etc"),
        reserved_ports: PathBuf::from("/proc/sys/net/ipv4/ip_local_reserved_ports"),
        linger: PathBuf::from("/var/lib/systemd/linger"),
        scratch: PathBuf::from("/var/tmp"),
        cache: cache_of_scripts(),
        engine: EngineCommand::find(&engine),
        keyring: keyring.map(|keyring| Arc::new(keyring) as Arc<dyn Keyring>),
        program: std::env::current_exe().ok(),
        clock: context.clock.clone(),
        systemd: true,
        uid: engine.uid,
        keep_data: args.keep_data,
    }
}

/// As scripts/lib.sh finds it.
fn cache_of_scripts() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = || set("XDG_CACHE_HOME").or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    set("MIMIR_CACHE").or_else(|| caches().map(|folder| folder.join("mimir")))
}

fn refused(error: Refused) -> Failure {
    let title = error.to_string();
    match error {
        Refused::NotAHome(_) => usage(title)
            .detail("nothing was removed: it has neither a database nor a key nor a lock of mimir's")
            .hint("MIMIR_HOME names the folder; unset, it is ~/.mimir")
            .into(),
        Refused::Engine(_) => Problem::new(503, "engine.unreachable", title)
            .detail("nothing was removed")
            .hint("`podman ps -a` should work for the same user; `mimir doctor` finds out why it does not")
            .into(),
    }
}

/// Whether the person types the word.
fn is_meant(args: &UninstallArgs, found: &Survey, context: &Context) -> Result<bool, Failure> {
    if args.yes {
        return Ok(true);
    }
    if !can_ask(&context.out) {
        return Err(usage("this removes everything and nobody can be asked")
            .detail(format!("{} things, {}", found.items.len(), size(bytes(found))))
            .hint("run `mimir uninstall --yes` if that is what you want; `--dry-run` shows it")
            .into());
    }
    let answer = word("Type `uninstall` to remove all of this: ");
    Ok(answer.is_some_and(|answer| matches!(answer.as_str(), "uninstall" | "yes")))
}

fn bytes(found: &Survey) -> u64 {
    found.items.iter().map(|item| item.size_bytes).sum()
}

fn show(found: &Survey, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    if found.items.is_empty() {
        out.line("nothing of mimir's is left to remove")?;
    } else {
        let mut table = Table::new(&[column("GOES"), column("WHAT").shrinks(), column("SIZE").right()]);
        let of = |bytes: u64| if bytes == 0 { "-".to_owned() } else { size(bytes) };
        for item in found.items.iter().filter(|item| item.kind != Kind::Stage) {
            table.row(vec![
                item.kind.to_string().into(),
                item.what.as_str().into(),
                of(item.size_bytes).into(),
            ]);
        }
        // Dozens, and their names say nothing.
        let stages: Vec<u64> =
            found.items.iter().filter(|it| it.kind == Kind::Stage).map(|it| it.size_bytes).collect();
        if !stages.is_empty() {
            let what = format!("{} images without a name, from builds", stages.len());
            table.row(vec!["stages".into(), what.into(), of(stages.iter().sum()).into()]);
        }
        out.table(&table)?;
        out.line(format!("{} together", size(bytes(found))))?;
    }
    list("stays:", &found.stays, context)?;
    list("for you to type:", &found.by_hand, context)
}

fn list(title: &str, lines: &[String], context: &Context) -> Result<(), Failure> {
    if lines.is_empty() {
        return Ok(());
    }
    context.out.line(format!("\n{}", context.out.paint.ink(Ink::Bold, title)))?;
    lines.iter().try_for_each(|line| context.out.line(format!("  {}", clean(line))))
}

fn tell_end(found: &Survey, taken: &[Taken], context: &Context) -> Result<(), Failure> {
    let gone = taken.iter().filter(|taken| taken.problem.is_none());
    let freed: u64 = gone.clone().map(|taken| taken.item.size_bytes).sum();
    context.out.line(format!("removed {} of {}: {} are free", gone.count(), taken.len(), size(freed)))?;
    for Taken { item, problem } in taken {
        if let Some(problem) = problem {
            context.out.warn(format!("{} {} is still there: {}", item.kind, item.what, clean(problem)));
        }
    }
    list("for you to type:", &found.by_hand, context)
}

fn report(found: &Survey, taken: &[Taken], context: &Context) -> Result<(), Failure> {
    let problem = |at: usize| match taken.get(at) {
        None => "found",
        Some(Taken { problem: None, .. }) => "removed",
        Some(Taken { problem: Some(why), .. }) => why,
    };
    let items = found.items.iter().enumerate();
    let items: Vec<UninstalledItem> = items
        .map(|(at, item)| UninstalledItem {
            kind: item.kind.to_string(),
            what: item.what.clone(),
            size_bytes: item.size_bytes,
            outcome: problem(at).to_owned(),
        })
        .collect();
    let counts = |row: &&UninstalledItem| matches!(row.outcome.as_str(), "found" | "removed");
    context.out.document(&Uninstalled {
        dry_run: taken.is_empty(),
        size_bytes: items.iter().filter(counts).map(|row| row.size_bytes).sum(),
        items,
        stays: found.stays.clone(),
        by_hand: found.by_hand.clone(),
    })
}
