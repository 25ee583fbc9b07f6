//! `mimir prices …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Outcome, usage};
use crate::cli::table::{Table, column};
use crate::clock;
use crate::model::agent::ModelRef;
use crate::model::quantity::money;
use crate::models::Prices;
use crate::wire::budgets::PriceView;
use crate::wire::problem::Problem;

/// Verbs of prices.
#[derive(Debug, Subcommand)]
pub enum PricesCommand {
    #[command(alias = "ls")]
    List(ListArgs),
    Set(SetArgs),
    Update(UpdateArgs),
}

/// What a million tokens of each model cost, and for which day that is true
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Of this provider alone
    provider: Option<String>,
}

/// Say what a model costs, for calls from now on
#[derive(Debug, Args)]
#[command(
    after_help = "  mimir prices set work/our-model 3 15      US dollars for a million tokens in and out
  mimir prices set 'ollama/*' 0 0           every model of a provider: free"
)]
pub struct SetArgs {
    /// provider/model; `*` as the model for all of a provider that have no price of their own
    model: ModelRef,
    /// US dollars for a million tokens of input
    #[arg(value_parser = price)]
    input: u64,
    /// US dollars for a million tokens of output
    #[arg(value_parser = price)]
    output: u64,
    /// For a million tokens read from a cache; as input when absent
    #[arg(long, value_name = "DOLLARS", value_parser = price)]
    cache_read: Option<u64>,
    /// For a million tokens written to a cache; as input when absent
    #[arg(long, value_name = "DOLLARS", value_parser = price)]
    cache_write: Option<u64>,
}

/// Take prices from a file of the form of config/prices.yaml
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// The file; it says for which day it is true (`as_of`)
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
}

/// US dollars, to the millionth.
fn price(text: &str) -> Result<u64, String> {
    let refuse = || format!("must be US dollars such as 3, 0.25 or 0, at most 100000, not `{text}`");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 6 || part.len() > 6 || !digits(whole) || !digits(part) {
        return Err(refuse());
    }
    let whole: u64 = whole.parse().map_err(|_| refuse())?;
    let part: u64 = format!("{part:0<6}").parse().map_err(|_| refuse())?;
    Some(whole * 1_000_000 + part).filter(|price| *price <= 100_000_000_000).ok_or_else(refuse)
}

pub async fn run(command: PricesCommand, context: &Context) -> Outcome {
    match command {
        PricesCommand::List(args) => list(&args, context).await,
        PricesCommand::Set(args) => set(args, context).await,
        PricesCommand::Update(args) => update(&args, context).await,
    }
}

async fn list(args: &ListArgs, context: &Context) -> Outcome {
    let mut prices = context.gateway().await?.prices().await?;
    prices.retain(|price| args.provider.as_ref().is_none_or(|provider| *provider == price.provider));
    if context.out.json {
        context.out.document(&prices)?;
        return Ok(DONE);
    }
    if prices.is_empty() {
        context.out.say("no prices; `mimir prices set PROVIDER/MODEL INPUT OUTPUT` sets one");
        return Ok(DONE);
    }
    context.out.table(&table(&prices))?;
    Ok(DONE)
}

fn table(prices: &[PriceView]) -> Table {
    let mut table = Table::new(&[
        column("MODEL").shrinks(),
        column("INPUT").right(),
        column("OUTPUT").right(),
        column("CACHED").right().spare(2),
        column("TO CACHE").right().spare(3),
        column("AS OF").spare(1),
        column("SET BY").spare(4),
    ]);
    for price in prices {
        table.row(vec![
            format!("{}/{}", price.provider, price.model).into(),
            money(price.input_microusd).into(),
            money(price.output_microusd).into(),
            money(price.cache_read_microusd).into(),
            money(price.cache_write_microusd).into(),
            price.as_of.as_str().into(),
            if price.built_in { "mimir" } else { "you" }.into(),
        ]);
    }
    table
}

async fn set(args: SetArgs, context: &Context) -> Outcome {
    let today = clock::rfc3339(context.now_ms()).chars().take(10).collect();
    let price = PriceView {
        provider: args.model.provider,
        model: args.model.model,
        input_microusd: args.input,
        output_microusd: args.output,
        cache_read_microusd: args.cache_read.unwrap_or(args.input),
        cache_write_microusd: args.cache_write.unwrap_or(args.input),
        as_of: today,
        built_in: false,
    };
    tell(&[price], context).await
}

async fn update(args: &UpdateArgs, context: &Context) -> Outcome {
    let shown = args.file.display();
    let yaml = std::fs::read_to_string(&args.file).map_err(|error| {
        Problem::new(404, "prices.file", format!("{shown} cannot be read: {error}"))
            .hint("a file of the form of config/prices.yaml: `as_of`, then `prices` by provider and model")
    })?;
    let prices = Prices::parse(&yaml).map_err(|error| {
        usage(format!("{shown}: {error}")).hint(
            "as_of: 2026-11-21, then prices: {provider: {model: [input, output, cache read, cache write]}}",
        )
    })?;
    let prices: Vec<PriceView> = prices.rows().cloned().map(PriceView::from).collect();
    tell(&prices, context).await
}

async fn tell(prices: &[PriceView], context: &Context) -> Outcome {
    let set = context.gateway().await?.set_prices(prices).await?;
    if context.out.json {
        context.out.document(&set)?;
    } else {
        context.out.table(&table(&set))?;
    }
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::price;

    #[test]
    fn prices_are_read_to_the_millionth_and_may_be_nothing() {
        assert_eq!((price("3"), price("0.075"), price("0")), (Ok(3_000_000), Ok(75_000), Ok(0)));
        for bad in ["", "-1", "1e3", "100001", ".5", "0.0000001", "free"] {
            assert!(price(bad).is_err(), "{bad}");
        }
    }
}
