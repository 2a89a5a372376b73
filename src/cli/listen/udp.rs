//! `haul listen -u`: the same flags, and the plan they make for datagrams.

use std::ffi::OsString;

use super::super::shared::Moving;
use super::super::{Request, clients, endpoint, request};
use super::Args;
use crate::error::Error;
use crate::plan::address::{Address, Options, Program};
use crate::plan::datagram::{self, DEFAULT_FLOW_IDLE, ListenUdp};
use crate::plan::{Flow, Plan, Transfer, advice};

impl Args {
    /// Validates everything that was given; `at` carries datagrams.
    pub(super) fn into_udp(
        mut self,
        program: Option<Program>,
        mut at: Address,
        url: Option<OsString>,
    ) -> Result<Request, Error> {
        std::mem::take(&mut self.tls).flags().refuse_with_datagrams()?;
        if self.wait.is_some() && self.stops.idle.is_some() {
            return Err(advice::clash("-w", "--idle", "both set the limit on silence", "one of them"));
        }
        let idle = self.wait.or(self.stops.idle);
        let transfer = self.moving().transfer()?;
        let mut flags = Options { mode: self.mode, source: self.peers.sender, ..Options::default() };
        self.route.add_to(&mut flags)?;
        self.tuning.add_to(&mut flags);
        self.web.add_to(&mut flags)?;
        at.overlay(&flags);
        let shown = at.clone();
        let explain = self.output.explain;
        let transfer = Transfer { banner: self.banner.map_or_else(Vec::new, |banner| banner.0), ..transfer };
        let plain = Moving::default().transfer()?;
        let odd = datagram::without_a_stream(&transfer, &plain)?;
        if transfer.quit_after.is_some() {
            let why = "the end of standard input ends nothing, since peers may still come";
            return Err(advice::clash("-q", "-u", why, "-w, -W or --max-time"));
        }
        if transfer.rate.is_some() {
            return Err(advice::clash("-L", "-u", "datagrams come as fast as they are sent", "-L at the sender"));
        }
        let mut report = self.output.report()?;
        report.advice = odd;
        let plan = Plan::ListenUdp(ListenUdp {
            at,
            announce: self.announcing.announce(),
            local: self.programs.local(program)?,
            stdin: transfer.stdin && transfer.flow == Flow::Both,
            serving: clients::serving(self.clients, self.gate)?,
            flow_idle: self.peers.flow_idle.unwrap_or(DEFAULT_FLOW_IDLE),
            framing: self.peers.split,
            datagrams: self.peers.datagrams,
            first_within: self.accept_timeout,
            idle,
            max_time: transfer.max_time,
            stamped: self.peers.seq,
            report,
        });
        request(plan, &flags, explain).map_err(|error| endpoint::as_typed(error, &shown, url))
    }
}

#[cfg(test)]
mod tests;
