//! `connect -z`: whether something answers.

use crate::error::{Error, Op};
use crate::outcome::Outcome;
use crate::plan::Check;

/// Tests every target.
pub(super) fn run(plan: &Check) -> anyhow::Result<Outcome> {
    let target = plan.targets.first().map(ToString::to_string).unwrap_or_default();
    Err(Error::said(Op::Connect, target, "-z is not in this version of haul").into())
}
