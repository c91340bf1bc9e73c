//! What is written of one metric: its description, and its samples with their labels.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use crate::status::Delay;

/// A name and its value.
pub(super) type Label<'a> = (&'static str, &'a str);

/// A metric without its samples. The unit becomes the end of its name.
#[derive(Clone, Copy)]
pub(super) struct Metric(pub(super) &'static str, pub(super) Option<&'static Unit>, pub(super) &'static str);

/// The page that is being written.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl<'a> Page<'a> {
    pub(super) const fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// A value that comes and goes.
    pub(super) fn gauge<'l, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        Metric(name, unit, help): Metric,
        samples: impl IntoIterator<Item = ([Label<'l>; N], V)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in samples {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// A count since the start; its name ends in `_total`.
    pub(super) fn counter<'l, const N: usize, V: EncodeCounterValue>(
        &mut self,
        Metric(name, unit, help): Metric,
        samples: impl IntoIterator<Item = ([Label<'l>; N], V)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, unit, MetricType::Counter)?;
        for (labels, value) in samples {
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    /// Words about something that goes on; its name ends in `_info`.
    pub(super) fn info<'l, const N: usize>(
        &mut self,
        Metric(name, unit, help): Metric,
        samples: impl IntoIterator<Item = [Label<'l>; N]>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, unit, MetricType::Info)?;
        samples.into_iter().try_for_each(|labels| metric.encode_info(&labels))
    }

    /// How often something took how long.
    pub(super) fn delays(
        &mut self,
        Metric(name, unit, help): Metric,
        delays: &[Delay],
        microseconds: u64,
    ) -> fmt::Result {
        let bound = |within: Option<u32>| within.map_or(f64::INFINITY, |bound| f64::from(bound) / 1e3);
        let buckets: Vec<(f64, u64)> =
            delays.iter().map(|delay| (bound(delay.within), delay.count)).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let mut metric = self.0.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(microseconds as f64 / 1e6, count, &buckets, None)
    }
}
