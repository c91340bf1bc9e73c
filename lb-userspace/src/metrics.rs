//! The status as metrics that Prometheus and its kin read: names, help and labels. Counts nothing by itself.
//!
//! There is a fixed number of samples for each virtual router, virtual service and real server, and none for clients.

#[cfg(test)]
mod dashboard;
mod page;
mod samples;
#[cfg(test)]
mod tests;

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, prometheus_text, text},
    registry::Registry,
};

use self::page::Page;
use crate::status::Status;

/// What every name begins with.
const PREFIX: &str = "xlvs";

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus's older text format, 0.0.4, which everything else reads.
    Text,
}

impl Format {
    /// The one to answer with to a request with this `Accept`.
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Text }
    }

    /// The `Content-Type` of the page.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The metrics of one moment.
#[derive(Debug)]
pub struct Metrics(Registry);

impl Metrics {
    /// What `status` says.
    pub fn of(status: Status) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(Source(status)));
        Self(registry)
    }

    /// All of them.
    pub fn page(&self, format: Format) -> String {
        let mut page = String::new();
        let _infallible = match format {
            Format::OpenMetrics => text::encode(&mut page, &self.0),
            Format::Text => prometheus_text::encode(&mut page, &self.0),
        };
        page
    }
}

#[derive(Debug)]
struct Source(Status);

impl Collector for Source {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        samples::write(&self.0, &mut Page::new(encoder))
    }
}
