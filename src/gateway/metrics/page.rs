//! The text that Prometheus reads: families of samples, in the order in which they were added.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Metric, Registry};

use crate::store::Times;

/// What the page is.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A label and its value.
pub type Label = (&'static str, String);

/// Everything that is shown at one moment.
#[derive(Debug, Default)]
pub struct Page {
    families: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Gauges(Vec<(Vec<Label>, u64)>),
    Counters(Vec<(Vec<Label>, u64)>),
    Times(Vec<(Vec<Label>, Times)>),
    /// A metric that lives elsewhere.
    Live(Box<dyn Metric>),
}

impl Page {
    /// Numbers that go up and down.
    pub fn gauges<I>(&mut self, name: &'static str, help: &'static str, samples: I)
    where
        I: IntoIterator<Item = (Vec<Label>, u64)>,
    {
        self.add(name, help, Body::Gauges(samples.into_iter().collect()));
    }

    /// One number that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.gauges(name, help, [(Vec::new(), value)]);
    }

    /// Numbers that only go up; their samples end in `_total`.
    pub fn counters<I>(&mut self, name: &'static str, help: &'static str, samples: I)
    where
        I: IntoIterator<Item = (Vec<Label>, u64)>,
    {
        self.add(name, help, Body::Counters(samples.into_iter().collect()));
    }

    /// One number that only goes up.
    pub fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.counters(name, help, [(Vec::new(), value)]);
    }

    /// Distributions of times.
    pub fn times<I>(&mut self, name: &'static str, help: &'static str, samples: I)
    where
        I: IntoIterator<Item = (Vec<Label>, Times)>,
    {
        self.add(name, help, Body::Times(samples.into_iter().collect()));
    }

    /// A metric that lives elsewhere.
    pub fn live(&mut self, name: &'static str, help: &'static str, metric: impl Metric) {
        self.add(name, help, Body::Live(Box::new(metric)));
    }

    fn add(&mut self, name: &'static str, help: &'static str, body: Body) {
        self.families.push(Family { name, help, body });
    }

    /// The page as text.
    ///
    /// # Errors
    /// Never in practice: it is written into memory.
    pub fn render(self) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::with_capacity(16 * 1024);
        text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for Family { name, help, body } in &self.families {
            let kind = match body {
                Body::Gauges(_) => MetricType::Gauge,
                Body::Counters(_) => MetricType::Counter,
                Body::Times(_) => MetricType::Histogram,
                Body::Live(metric) => metric.metric_type(),
            };
            let writer = encoder.encode_descriptor(name, help, None, kind)?;
            match body {
                Body::Live(metric) => metric.encode(writer)?,
                Body::Gauges(samples) => each(writer, samples, |mut to, value| to.encode_gauge(value))?,
                Body::Counters(samples) => each(writer, samples, |mut to, value| {
                    to.encode_counter::<NoLabelSet, _, u64>(value, None)
                })?,
                Body::Times(samples) => each(writer, samples, |mut to, times| {
                    to.encode_histogram::<NoLabelSet>(times.sum_seconds, times.count, &buckets(times), None)
                })?,
            }
        }
        Ok(())
    }
}

/// A sample without labels has no braces either.
fn each<T>(
    mut writer: MetricEncoder<'_>,
    samples: &[(Vec<Label>, T)],
    write: impl Fn(MetricEncoder<'_>, &T) -> Result<(), std::fmt::Error>,
) -> Result<(), std::fmt::Error> {
    for (labels, value) in samples {
        if labels.is_empty() {
            return write(writer, value);
        }
        write(writer.encode_family(labels)?, value)?;
    }
    Ok(())
}

/// Each with its own count, and the one without an end, as the encoder adds them up itself.
fn buckets(times: &Times) -> Vec<(f64, u64)> {
    let mut before = 0;
    let mut own: Vec<(f64, u64)> = times
        .buckets
        .iter()
        .map(|(end, so_far)| {
            let own = so_far.saturating_sub(before);
            before = *so_far;
            (*end, own)
        })
        .collect();
    own.push((f64::INFINITY, times.count.saturating_sub(before)));
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_help_a_type_and_samples_that_prometheus_reads() {
        let mut page = Page::default();
        page.gauge("mimir_engine_up", "1 when the engine answers", 1);
        page.gauges("mimir_frames", "Frames", [(vec![("state", "running".to_owned())], 2)]);
        page.counters("mimir_http_requests", "Requests", [(vec![("class", "4xx".to_owned())], 2)]);
        let times = Times { buckets: vec![(0.001, 1), (0.5, 3)], count: 4, sum_seconds: 1.5 };
        page.times("mimir_write_seconds", "Writes", [(vec![("kind", "disk".to_owned())], times)]);
        let text = page.render().expect("a text");
        for line in [
            "# TYPE mimir_frames gauge",
            "# HELP mimir_engine_up 1 when the engine answers",
            "mimir_engine_up 1",
            "mimir_frames{state=\"running\"} 2",
            "# TYPE mimir_http_requests counter",
            "mimir_http_requests_total{class=\"4xx\"} 2",
            "mimir_write_seconds_bucket{le=\"0.001\",kind=\"disk\"} 1",
            "mimir_write_seconds_bucket{le=\"0.5\",kind=\"disk\"} 3",
            "mimir_write_seconds_bucket{le=\"+Inf\",kind=\"disk\"} 4",
            "mimir_write_seconds_count{kind=\"disk\"} 4",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
