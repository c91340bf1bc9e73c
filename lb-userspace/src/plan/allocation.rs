//! Who has which row.

use std::{collections::BTreeMap, iter, net::IpAddr, sync::Arc};

use lb_common::layout::{Address, MAX_SERVERS};

use super::{Difference, PlanError, ServiceKey, Wanted, mapped, within_limits};

/// A real server's row and the generation it was given with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Row of `servers`.
    pub row: u16,
    /// Differs from that of every server that had the row before.
    pub generation: u16,
}

/// Who has which row. A copy shares with it what of no service has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    services: BTreeMap<ServiceKey, Rows>,
    /// Of `cursors`.
    service_rows: Taken,
    /// Of `servers`.
    server_rows: Taken,
    /// The generation the next new server gets.
    pub next_generation: u16,
    /// The generation of the rows that nobody has any more; no server ever had it.
    pub vacant: u16,
}

/// Those of a service: its own of `cursors`, and by their RIPs those of its real servers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rows {
    own: u16,
    servers: Arc<BTreeMap<Address, Row>>,
}

impl Allocation {
    /// The allocation for `wanted` that keeps every row of `self` that is still wanted.
    ///
    /// # Errors
    /// [`PlanError`] when there are more than a director holds.
    pub fn assign(&self, wanted: &[Wanted]) -> Result<Self, PlanError> {
        within_limits(wanted.iter().map(|service| (service.key, service.servers.len())))?;
        let mut next = Self { next_generation: self.next_generation, vacant: self.vacant, ..Self::default() };
        for service in wanted {
            let Some(own) = self.service(&service.key) else { continue };
            next.note_service(service.key, own);
            for address in service.servers.iter().map(|server| mapped(server.rip)) {
                if let Some(row) = self.server(&service.key, address) {
                    next.note_server(service.key, address, row);
                }
            }
        }
        next.take_in(wanted);
        next.within_rows()
    }

    /// The same while the program runs with the rows of `self`, which are those of the services before: new services and,
    /// where there are rows enough, new servers get those that nobody has now, for what is under way may still touch the
    /// others.
    ///
    /// # Errors
    /// [`PlanError`] when there are more than a director holds.
    pub fn assign_beside(&self, difference: &Difference) -> Result<Self, PlanError> {
        // So that row numbers last, those that are given up besides.
        within_limits(difference.after.iter().map(|service| (service.key, service.servers.len())))?;
        let beside = || {
            let mut next = self.clone();
            next.take_in(difference.next());
            next.let_servers_go(difference);
            next.within_rows()
        };
        let handed_on = |_| {
            let mut next = self.clone();
            next.let_servers_go(difference);
            next.take_in(difference.next());
            next.within_rows()
        };
        let mut next = beside().or_else(handed_on)?;
        for gone in &difference.gone {
            if let Some(rows) = next.services.remove(&gone.key) {
                next.service_rows.give_back(rows.own);
            }
        }
        if difference.servers_that_go().next().is_some() {
            next.vacant = next.next_generation;
            next.next_generation = next.vacant.wrapping_add(1);
        }
        Ok(next)
    }

    /// Gives rows to those of `services` and of their real servers that have none.
    fn take_in<'a>(&mut self, services: impl IntoIterator<Item = &'a Wanted>) {
        for service in services {
            let own = self.service(&service.key).unwrap_or_else(|| self.service_rows.lowest_free());
            self.note_service(service.key, own);
            for address in service.servers.iter().map(|server| mapped(server.rip)) {
                if self.server(&service.key, address).is_some() {
                    continue;
                }
                let generation = self.next_generation;
                self.next_generation = generation.wrapping_add(1);
                let row = self.server_rows.lowest_free();
                self.note_server(service.key, address, Row { row, generation });
            }
        }
    }

    fn let_servers_go(&mut self, difference: &Difference) {
        for (service, server) in difference.servers_that_go() {
            let Some(rows) = self.services.get_mut(&service) else { continue };
            if let Some(row) = Arc::make_mut(&mut rows.servers).remove(&mapped(server.rip)) {
                self.server_rows.give_back(row.row);
            }
        }
    }

    fn within_rows(self) -> Result<Self, PlanError> {
        match self.server_rows() {
            rows if rows > MAX_SERVERS => Err(PlanError::Servers(rows)),
            _ => Ok(self),
        }
    }

    /// Notes that a service has this row.
    pub fn note_service(&mut self, key: ServiceKey, row: u16) {
        self.service_rows.take(row);
        self.services.entry(key).or_insert_with(|| Rows { own: row, servers: Arc::default() });
    }

    /// Notes that a real server of a service that is noted has this row.
    pub fn note_server(&mut self, key: ServiceKey, rip: Address, row: Row) {
        if let Some(rows) = self.services.get_mut(&key) {
            self.server_rows.take(row.row);
            Arc::make_mut(&mut rows.servers).insert(rip, row);
        }
    }

    /// A service's row of `cursors`, if it has one.
    pub fn service(&self, key: &ServiceKey) -> Option<u16> {
        self.services.get(key).map(|rows| rows.own)
    }

    /// A real server's row, if it has one.
    pub fn server(&self, key: &ServiceKey, rip: Address) -> Option<Row> {
        self.services.get(key)?.servers.get(&rip).copied()
    }

    /// A service's row of `cursors`.
    ///
    /// # Panics
    /// Without one.
    pub fn service_row(&self, key: &ServiceKey) -> u16 {
        self.services[key].own
    }

    /// A real server's row.
    ///
    /// # Panics
    /// Without one.
    pub fn server_row(&self, key: &ServiceKey, rip: IpAddr) -> Row {
        self.services[key].servers[&mapped(rip)]
    }

    /// All services with their rows of `cursors`.
    pub fn services(&self) -> impl Iterator<Item = (ServiceKey, u16)> {
        self.services.iter().map(|(key, rows)| (*key, rows.own))
    }

    /// All real servers, by service and RIP, with their rows.
    pub fn servers(&self) -> impl Iterator<Item = ((ServiceKey, Address), Row)> {
        let of = |(key, rows): (&ServiceKey, &Rows)| {
            let key = *key;
            rows.servers.iter().map(|(rip, row)| ((key, *rip), *row)).collect::<Vec<_>>()
        };
        self.services.iter().flat_map(of)
    }

    /// Does anybody have this row of `servers`?
    pub fn has_server_row(&self, row: u16) -> bool {
        self.server_rows.has(row)
    }

    /// Does a real server of a service that is another get a row at once that one had in `before`?
    pub fn hands_on(&self, before: &Self, difference: &Difference) -> bool {
        let came = difference.servers_that_come().map(|(key, server)| self.server_row(&key, server.rip));
        came.into_iter().any(|row| before.has_server_row(row.row))
    }

    /// Rows that `servers` must have.
    pub fn server_rows(&self) -> usize {
        self.server_rows.end().max(1)
    }

    /// Rows that `cursors` must have.
    pub fn service_rows(&self) -> usize {
        self.service_rows.end().max(1)
    }
}

/// Row numbers that somebody has, a bit for each; the last word is not 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Taken(Vec<u64>);

impl Taken {
    const fn place(row: u16) -> (usize, u64) {
        ((row / 64) as usize, 1 << (row % 64))
    }

    fn has(&self, row: u16) -> bool {
        let (word, bit) = Self::place(row);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    fn lowest_free(&self) -> u16 {
        let words = self.0.iter().copied().chain(iter::once(0));
        let free = words.enumerate().find(|(_, word)| *word != u64::MAX);
        free.map_or(0, |(at, word)| (64 * at) as u16 + word.trailing_ones() as u16)
    }

    fn take(&mut self, row: u16) {
        let (word, bit) = Self::place(row);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    fn give_back(&mut self, row: u16) {
        let (word, bit) = Self::place(row);
        if let Some(word) = self.0.get_mut(word) {
            *word &= !bit;
        }
        while self.0.pop_if(|word| *word == 0).is_some() {}
    }

    /// One past the last.
    fn end(&self) -> usize {
        self.0.last().map_or(0, |last| 64 * self.0.len() - last.leading_zeros() as usize)
    }
}
