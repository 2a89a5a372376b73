//! `haul connect -u`: the same flags, and the plan they make for datagrams.

use std::ffi::OsString;

use super::super::shared::Moving;
use super::super::{Request, endpoint, request};
use super::Args;
use crate::error::Error;
use crate::plan::address::{Address, Options, Program};
use crate::plan::datagram::{self, ConnectUdp, DEFAULT_WAIT, Pacing};
use crate::plan::{Flow, Plan, advice};

impl Args {
    /// Validates everything that was given; `to` carries datagrams.
    pub(super) fn into_udp(
        mut self,
        program: Option<Program>,
        mut to: Address,
        url: Option<OsString>,
    ) -> Result<Request, Error> {
        std::mem::take(&mut self.tls).flags().refuse_with_datagrams()?;
        let unfit = [
            (
                !self.steps.0.is_empty() || self.timeout.is_some(),
                "--send, --expect and --timeout",
                "haul send-udp -W 1",
            ),
            (self.retry.is_some(), "--wait", "haul connect -z -u, which asks whether a port is refused"),
            (self.connect_timeout.is_some(), "--connect-timeout", "-w or --idle"),
        ];
        if self.proxies.is_given() {
            return Err(advice::clash("-x", "-u", "a proxy carries connections, and no datagrams", "one of them"));
        }
        if let Some((_, flag, remedy)) = unfit.iter().find(|(given, ..)| *given) {
            return Err(advice::clash(flag, "-u", "with datagrams there is no connection to wait for", remedy));
        }
        let idle = self.stops.idle;
        let transfer = self.moving().transfer()?;
        let mut flags =
            Options { source: self.source, source_port: self.port, df: self.exchange.df, ..Options::default() };
        self.route.add_to(&mut flags)?;
        self.tuning.add_to(&mut flags);
        self.web.add_to(&mut flags)?;
        to.overlay(&flags);
        let shown = to.clone();
        let explain = self.output.explain;
        let plain = Moving::default().transfer()?;
        let odd = datagram::without_a_stream(&transfer, &plain)?;
        if self.wait.is_some() && transfer.quit_after.is_some() {
            return Err(advice::clash("-w", "-q", "with -u both count from the end of standard input", "one of them"));
        }
        let mut report = self.output.report()?;
        report.advice = odd;
        let stdin = transfer.stdin && transfer.flow == Flow::Both;
        if !stdin && transfer.quit_after.is_some() {
            let why = "it counts from the end of standard input, which is not read";
            return Err(advice::clash("-q", "-d", why, "-w, which then counts from the start"));
        }
        let plan = Plan::ConnectUdp(ConnectUdp {
            to,
            local: self.programs.local(program)?,
            stdin,
            split: self.exchange.split,
            pacing: Pacing { rate: transfer.rate, ..Pacing::default() },
            replies: self.exchange.replies,
            wait: self.wait.or(transfer.quit_after).or(stdin.then_some(DEFAULT_WAIT)),
            idle,
            max_time: transfer.max_time,
            report,
        });
        request(plan, &flags, explain).map_err(|error| endpoint::as_typed(error, &shown, url))
    }
}

#[cfg(test)]
mod tests;
