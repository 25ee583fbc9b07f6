//! Hosts that a frame may reach for a while, or once. Kept in memory: they end with the gateway, and with the frame's run.

use parking_lot::Mutex;

use crate::model::allow::{AllowList, Traffic};
use crate::model::network::LentHost;

/// What one frame is lent.
#[derive(Default)]
pub(super) struct Loans(Mutex<Vec<(LentHost, AllowList)>>);

/// A loan that a connection is tried with.
pub(super) struct Taken {
    /// What may go through it.
    pub(super) traffic: Traffic,
    loan: LentHost,
    list: AllowList,
}

impl Taken {
    /// Whether that address itself was lent.
    pub(super) fn permits(&self, address: &str, port: u16) -> bool {
        self.list.names(address, port)
    }
}

impl Loans {
    /// Lends a host; the same again takes the place of the old.
    pub(super) fn add(&self, loan: LentHost, list: AllowList) {
        let mut all = self.0.lock();
        all.retain(|(known, _)| known.host != loan.host);
        all.push((loan, list));
    }

    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    /// Those that have not ended.
    pub(super) fn list(&self, now_ms: u64) -> Vec<LentHost> {
        let mut all = self.0.lock();
        all.retain(|(loan, _)| loan.until > now_ms);
        all.iter().map(|(loan, _)| loan.clone()).collect()
    }

    /// A loan for a connection that `fits` says something about; what was lent once is used up by that, unless it is given
    /// back.
    pub(super) fn take(&self, now_ms: u64, fits: impl Fn(&AllowList) -> Option<Traffic>) -> Option<Taken> {
        let mut all = self.0.lock();
        all.retain(|(loan, _)| loan.until > now_ms);
        let (at, traffic) =
            all.iter().enumerate().find_map(|(at, (_, list))| fits(list).map(|traffic| (at, traffic)))?;
        let (loan, list) = if all[at].0.once { all.remove(at) } else { all[at].clone() };
        Some(Taken { traffic, loan, list })
    }

    /// Nothing came of the connection: what was lent once may be tried again, unless it was lent anew meanwhile.
    pub(super) fn give_back(&self, taken: Taken) {
        let mut all = self.0.lock();
        if taken.loan.once && all.iter().all(|(known, _)| known.host != taken.loan.host) {
            all.push((taken.loan, taken.list));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::allow::AllowGroups;

    #[test]
    fn a_loan_ends_with_its_time_or_its_use() {
        let groups = AllowGroups::built_in().expect("groups");
        let loans = Loans::default();
        let lend = |host: &str, once, until| {
            let list = groups.resolve([host]).expect("a host");
            loans.add(LentHost { host: host.to_owned(), once, until }, list);
        };
        lend("a.test", false, 100);
        lend("b.test:22", true, 100);
        let taken = |host: &str, port, now| loans.take(now, |list| list.traffic(host, port));
        let take = |host, port, now| taken(host, port, now).map(|taken| taken.traffic);
        assert_eq!(take("a.test", 443, 10), Some(Traffic::Web));
        assert_eq!(take("a.test", 443, 99), Some(Traffic::Web));
        let one = taken("b.test", 22, 10).expect("lent");
        assert_eq!(one.traffic, Traffic::Any);
        assert_eq!(take("b.test", 22, 10), None, "once is once");
        loans.give_back(one);
        assert_eq!(take("b.test", 22, 10), Some(Traffic::Any), "nothing had come of it");
        assert_eq!(take("b.test", 22, 10), None, "once is once");
        assert_eq!(take("a.test", 443, 100), None, "the time is over");
        lend("a.test", false, 300);
        lend("a.test", true, 400);
        assert_eq!(loans.list(200), [LentHost { host: "a.test".into(), once: true, until: 400 }]);
        loans.clear();
        assert_eq!(loans.list(200), []);
    }
}
