// Planted bugs: each is one text found once in one file, put in its place, and the specs of which at
// least one test must then fail. They come from the faults the project exists to survive, from facts
// measured on Redis, Lua and Nest, and from defects that were really made here.
const MEMORY = 'libs/quota/src/adapters/memory';
const REDIS = 'libs/quota/src/adapters/redis';
const LUA = `${REDIS}/scripts`;
const CORE = 'libs/quota/src/core';
const NEST = 'libs/quota/src/nest';
const POSTGRES = 'libs/quota/src/adapters/postgres';
const LEDGER_SQL = `${POSTGRES}/migrations/ledger-1`;

const ON_MEMORY = ['test/contract/memory-usage-tracker.spec.ts'];
const ON_REDIS = ['test/contract/redis-usage-tracker.spec.ts'];
const ON_SCRIPTS = ['test/integration/redis/scripts.spec.ts'];
const ON_BANK = [
  'test/integration/redis/bank.spec.ts',
  'test/integration/redis/bank-folds.spec.ts',
];
const ON_JOURNAL = ['test/integration/bank/killed.spec.ts'];
const ON_BANK_SQL = ['test/integration/postgres/bank.spec.ts'];
const ON_PARTED = ['test/integration/bank/one-of-three.spec.ts'];
const ON_OUTAGE = ['test/integration/bank/outage.spec.ts'];
const ON_AMNESIA = ['test/integration/bank/amnesia.spec.ts'];
const ON_FAULTS = ['test/integration/faults/nth-command.spec.ts'];
const ON_CHECKER = [`${CORE}/quota-checker.spec.ts`];
const ON_QUOTA_CACHE = [`${CORE}/quota-cache.service.spec.ts`];
const ON_HTTP = ['test/integration/nest/guarded-routes.spec.ts'];
const ON_QUOTAS = ['test/contract/postgres-quota-store.spec.ts'];
const ON_USAGE_LOG = ['test/integration/postgres/usage-log.spec.ts'];
const ON_RECORDER = [`${CORE}/usage-recorder.spec.ts`];

const plant = (name, file, find, replace, specs) => ({ name, file, find, replace, specs });

export const MUTANTS = [
  // The ledger in process
  plant(
    'memory: an old configuration is taken',
    `${MEMORY}/admission.ts`,
    'export function reserve(\n  ledger: TenantLedger,\n  request: ReserveRequest,\n  now: number,\n): ReserveReply | null {\n  const { key, bytes, id } = request;\n  if (request.stamp < ledger.stamp)',
    'export function reserve(\n  ledger: TenantLedger,\n  request: ReserveRequest,\n  now: number,\n): ReserveReply | null {\n  const { key, bytes, id } = request;\n  if (request.stamp < -1)',
    ON_MEMORY,
  ),
  plant(
    'memory: shadow does not hold what enforcing would refuse',
    `${MEMORY}/admission.ts`,
    'refused: enforce && decision',
    'refused: decision',
    ON_MEMORY,
  ),
  plant(
    'memory: a refusal counts what has expired',
    `${MEMORY}/admission.ts`,
    'if (first.decision === QuotaDecision.ALLOW || !ledger.hasDue(now)) return first;',
    'if (first.decision !== undefined) return first;',
    ON_MEMORY,
  ),
  plant(
    'memory: the unmetered stay unmetered',
    `${MEMORY}/admission.ts`,
    '  ledger.fold();\n',
    '',
    ON_MEMORY,
  ),
  plant(
    'memory: Retry-After counts the entry that is written',
    `${MEMORY}/admission.ts`,
    'if (entry.key === key) continue;',
    '',
    ON_MEMORY,
  ),
  plant(
    'memory: an id may name two writes',
    `${MEMORY}/admission.ts`,
    'if (asked.key !== request.key || asked.bytes !== request.bytes) {',
    'if (asked.key !== request.key) {',
    ON_MEMORY,
  ),
  plant(
    'memory: a commit of an earlier life is taken',
    `${MEMORY}/settlement.ts`,
    "if (request.generation !== ledger.generation) return { outcome: 'bounced' };",
    '',
    ON_MEMORY,
  ),
  plant(
    'memory: a released reservation can be committed',
    `${MEMORY}/settlement.ts`,
    "if (mark?.state === 'released') return { outcome: 'bounced' };",
    '',
    ON_MEMORY,
  ),
  plant(
    'memory: more than reserved is committed unseen',
    `${MEMORY}/settlement.ts`,
    'if (grows && enforce && usedAfter > limits.hardBytes) return false;',
    '',
    ON_MEMORY,
  ),
  plant(
    'memory: the older of two writes wins',
    `${MEMORY}/settlement.ts`,
    'return version < Math.max(seen, ledger.entry(key)?.version ?? 0);',
    'return version < seen && false;',
    ON_MEMORY,
  ),
  plant(
    'memory: a release that comes first is forgotten',
    `${MEMORY}/settlement.ts`,
    "ledger.marks.set('write', id, { asked: undefined, state: 'released' }, now);",
    '',
    ON_MEMORY,
  ),
  plant(
    'memory: a removal sent again removes what came since',
    `${MEMORY}/giving-back.ts`,
    "ledger.marks.set('remove', id, mark, now);",
    '',
    ON_MEMORY,
  ),
  plant(
    'memory: more is given back than was charged',
    `${MEMORY}/giving-back.ts`,
    'const freedBytes = Math.min(bytes, ledger.unkeyed);',
    'const freedBytes = bytes;',
    ON_MEMORY,
  ),
  plant(
    'memory: an entry lives one millisecond too long',
    `${MEMORY}/tenant-ledger.ts`,
    'if (entry && entry.dueAt <= now) this.delete(entry.key);',
    'if (entry && entry.dueAt < now) this.delete(entry.key);',
    [`${MEMORY}/memory-usage-tracker.spec.ts`],
  ),

  // The ledger in Redis
  plant(
    'redis: two writers of a key need room for both',
    `${LUA}/include/keys.lua`,
    'if size == without then without = nil elseif size > top then top = size end',
    'top = top + size',
    ON_REDIS,
  ),
  plant(
    'redis: the limit is off by one',
    `${LUA}/include/verdict.lua`,
    'if used_after <= hard or not grows then return WARN end',
    'if used_after < hard or not grows then return WARN end',
    ON_REDIS,
  ),
  plant(
    'redis: what does not grow is refused',
    `${LUA}/include/verdict.lua`,
    'if used_after <= hard or not grows then return WARN end',
    'if used_after <= hard then return WARN end',
    ON_REDIS,
  ),
  plant(
    'redis: a refusal counts what has expired',
    `${LUA}/include/verdict.lua`,
    'if (decision ~= ALLOW or short) and reaped.more then',
    'if false then',
    ON_REDIS,
  ),
  plant(
    'redis: Retry-After is told late',
    `${LUA}/include/verdict.lua`,
    'if need <= 0 then return digits(tonumber(expiry) - now) end',
    'if need < -1 then return digits(tonumber(expiry) - now) end',
    ON_REDIS,
  ),
  plant(
    'redis: a refused write leaves its hold',
    `${LUA}/commit.lua`,
    "    if record then free_hold(record) end\n    mark(id, 'f'",
    "    mark(id, 'f'",
    ON_REDIS,
  ),
  plant(
    'redis: a commit sent again is charged again',
    `${LUA}/commit.lua`,
    "if record.state == 'c' then return reply(CODE.COMMITTED, record.a, record.b) end",
    "if record.state == 'c' then record = nil end",
    ON_REDIS,
  ),
  plant(
    'redis: a generation may be used twice',
    `${LUA}/commit.lua`,
    'if not S.g or S.g ~= generation then return reply(CODE.BOUNCED) end',
    'if not S.g then return reply(CODE.BOUNCED) end',
    ON_REDIS,
  ),
  plant(
    'redis under a bank: a ledger being rebuilt admits',
    `${LUA}/include/verdict.lua`,
    "return S.rb == '' and S.gb or 0",
    "return S.gb + (S.rb == '' and 0 or MAX)",
    ON_BANK,
  ),
  plant(
    'redis under a bank: a reserve goes beyond the grant',
    `${LUA}/reserve.lua`,
    'if short then return grant_short(used_after) end',
    'if false then return grant_short(used_after) end',
    ON_BANK,
  ),
  plant(
    'redis under a bank: a commit goes beyond the grant',
    `${LUA}/commit.lua`,
    'if short then return grant_short(used_after) end',
    'if false then return grant_short(used_after) end',
    ON_BANK,
  ),
  plant(
    'redis under a bank: a grant is short by what is due',
    `${LUA}/include/verdict.lua`,
    '(decision == REJECT or short) and more_due()',
    'decision == REJECT and more_due()',
    ON_BANK,
  ),
  plant(
    'redis under a bank: what is due is not reaped before a grant is short',
    `${LUA}/include/verdict.lua`,
    'if (decision ~= ALLOW or short) and reaped.more then',
    'if decision ~= ALLOW and reaped.more then',
    ON_BANK,
  ),
  plant(
    'redis under a bank: a late grant is taken',
    `${LUA}/grant-take.lua`,
    'if number <= S.gs then',
    'if number == S.gs then',
    ON_BANK,
  ),
  plant(
    'redis under a bank: any nonce ends a rebuild',
    `${LUA}/grant-take.lua`,
    'if S.rb ~= nonce then',
    "if nonce == '' then",
    ON_BANK,
  ),
  plant(
    'redis under a bank: a grant of another life is taken',
    `${LUA}/grant-take.lua`,
    'if S.gg ~= generation then return',
    'if false then return',
    ON_BANK,
  ),
  plant(
    'redis under a bank: a batch is folded in twice',
    `${LUA}/fold.lua`,
    'if number <= S.fn then',
    'if number < S.fn then',
    ON_BANK,
  ),
  plant(
    'redis under a bank: a batch gives no grant',
    `${LUA}/fold.lua`,
    'S.gb, S.fn = S.gb + bytes, number',
    'S.gb, S.fn = S.gb, number',
    ON_BANK,
  ),
  plant(
    'redis under a bank: a batch replaces what is newer',
    `${LUA}/fold.lua`,
    'if k.entry and item.version < k.entry.version then return true end',
    'if k.entry and item.version < 0 then return true end',
    ON_BANK,
  ),
  plant(
    'redis under a bank: a batch brings back what was removed',
    `${LUA}/fold.lua`,
    'item.version > 0 and item.version < k.version',
    'item.version > MAX and item.version < k.version',
    ON_BANK,
  ),
  plant(
    'redis under a bank: a wiped ledger takes a batch',
    `${LUA}/fold.lua`,
    "if S.gs == 0 or S.rb ~= '' then",
    "if S.rb ~= '' then",
    ON_BANK,
  ),
  plant(
    'redis under a bank: a dropped tenant keeps its grant',
    `${LUA}/drop.lua`,
    "S.gs, S.gb, S.gg, S.rb, S.fn = 0, 0, '', '', 0",
    "S.rb = ''",
    ON_BANK,
  ),
  plant(
    'redis under a bank: a rebuild begins though there is a new grant',
    `${LUA}/rebuild-begin.lua`,
    'if S.gs ~= seen then',
    'if S.gs < seen then',
    ON_BANK,
  ),

  // Two ledgers under one limit
  plant(
    'journal: a batch is forgotten before the ledger has it',
    `${CORE}/grant-keeper.ts`,
    '      const reply = await grants.fold(tenant, batch);',
    '      await bank.endFold(tenant, batch.number);\n      const reply = await grants.fold(tenant, batch);',
    ON_JOURNAL,
  ),
  plant(
    'journal: a batch that the ledger has never ends',
    `${CORE}/grant-keeper.ts`,
    '        await bank.endFold(tenant, batch.number);\n',
    '        if (batch.number < 0) await bank.endFold(tenant, batch.number);\n',
    ON_JOURNAL,
  ),
  plant(
    'journal: a batch is taken again',
    `${LUA}/fold.lua`,
    'if number <= S.fn then return reply(CODE.DONE) end',
    '',
    ON_JOURNAL,
  ),
  plant(
    'journal: a removal is not recorded',
    `${LEDGER_SQL}/journal.ts`,
    's.has_removals := true;${insertRemovals(`VALUES (p_tenant, ${key}, ${version})`)};',
    'NULL;',
    ON_JOURNAL,
  ),
  plant(
    'journal: what is folded is not granted',
    `${LEDGER_SQL}/bank.ts`,
    '      s.granted_bytes := least(s.granted_bytes + s.folding_bytes, ${MAX});\n',
    '',
    ON_JOURNAL,
  ),
  plant(
    'parted: the bank admits what is granted',
    `${LEDGER_SQL}/journal.ts`,
    '(s.granted_bytes + s.folding_bytes)',
    '(s.folding_bytes)',
    ON_PARTED,
  ),
  plant(
    'outage: a refusal by the bank is passed on though something is granted',
    `${CORE}/bank-desk.ts`,
    'if (!rest.granted || bytes > limits.hardBytes) return reply;',
    'if (rest) return reply;',
    ON_OUTAGE,
  ),
  plant(
    'outage: what could not be given back is forgotten',
    `${CORE}/banked-tracker.ts`,
    '      this.deferred.add(id, send);\n',
    '',
    ON_OUTAGE,
  ),
  plant(
    'outage: the budget is never spent',
    `${CORE}/outage-budget.ts`,
    '    this.spentBytes += request.bytes;\n',
    '',
    ON_OUTAGE,
  ),
  plant(
    'outage: what the budget admitted is not charged afterwards',
    `${CORE}/outage-budget.ts`,
    '      await charge(write.request, write.commit);\n',
    '',
    ON_OUTAGE,
  ),
  plant(
    'outage: a deleted tenant keeps its grant',
    `${LEDGER_SQL}/bank.ts`,
    '      s.granted_bytes := 0;\n',
    '',
    ON_OUTAGE,
  ),
  plant(
    'grants: a grant goes beyond the limit',
    `${LEDGER_SQL}/bank.ts`,
    'p_hard - s.committed - s.reserved - s.folding_bytes, p_want + p_chunk',
    '2 * p_hard, p_want + p_chunk',
    ON_BANK_SQL,
  ),
  plant(
    'grants: the bank admits what is on its way to the ledger',
    `${LEDGER_SQL}/journal.ts`,
    '(s.granted_bytes + s.folding_bytes)',
    '(s.granted_bytes)',
    ON_BANK_SQL,
  ),
  plant(
    'loss: a ledger that knows no grant is given one',
    `${LEDGER_SQL}/bank.ts`,
    'IF NOT p_rebuilt AND (p_seen',
    'IF false AND (p_seen',
    ON_AMNESIA,
  ),
  plant(
    'loss: a write on its way is bounced though the tenant lives',
    `${CORE}/banked-tracker.ts`,
    'if (life === generation.slice(0, slash)) return reply;',
    'if (life !== generation) return reply;',
    ON_AMNESIA,
  ),
  plant(
    'loss: a rebuild ends before what is stored was looked at',
    `${CORE}/ledger-rebuild.ts`,
    '  await reconcile(tenant);\n',
    '',
    ON_AMNESIA,
  ),
  plant(
    'faults: a refund that may have been taken is given to the bank as well',
    `${CORE}/banked-tracker.ts`,
    '        if (unsure) throw error;\n',
    '',
    ON_FAULTS,
  ),
  plant(
    'faults: a charge that may have been taken is made in the bank as well',
    `${CORE}/banked-tracker.ts`,
    "if (key === undefined && (place === 'ledger' || error.applied === 'unknown')) {",
    "if (key === undefined && place === 'ledger') {",
    ON_FAULTS,
  ),
  plant(
    'faults: a refusal does not wait for the journal',
    `${CORE}/banked-tracker.ts`,
    "      throw new JournalError('reserve', { applied: 'no', contact: 'answered', cause: error });",
    '      return false;',
    ON_FAULTS,
  ),
  plant('redis: a commit needs memory', `${LUA}/commit.lua`, '#!lua flags=allow-oom', '#!lua', [
    'test/integration/redis/faults.spec.ts',
  ]),
  plant('redis: a release needs memory', `${LUA}/release.lua`, '#!lua flags=allow-oom', '#!lua', [
    'test/integration/redis/faults.spec.ts',
  ]),
  plant(
    'redis: nan, 0x10 and 1e3 are numbers',
    `${LUA}/include/args.lua`,
    "if not text or #text > 16 or not string.find(text, '^%d+$') then bad_argument(name) end",
    'if not text or not tonumber(text) then bad_argument(name) end',
    ON_SCRIPTS,
  ),
  plant(
    'redis: large numbers are written as 1e+15',
    `${LUA}/include/args.lua`,
    "return string.format('%.0f', n)",
    'return tostring(n)',
    [...ON_SCRIPTS, ...ON_REDIS],
  ),
  plant(
    'redis: a deletion forgets the hold of the key',
    `${LUA}/include/keys.lua`,
    'S.r = S.r + sign * (math.max(live, top) - live)',
    'S.r = S.r + sign * math.max(0, top - live) * (live > 0 and 0 or 1)',
    ON_REDIS,
  ),
  plant(
    'redis: a value outlives its entry',
    `${LUA}/include/ledger.lua`,
    'elseif k.had_entry and not k.keep_value then',
    'elseif false then',
    ON_REDIS,
  ),
  plant(
    'redis: a recount misses what changes meanwhile',
    `${LUA}/include/keys.lua`,
    'if S.rs > 0 and k.entry.session == S.rs then',
    'if false then',
    ['test/integration/redis/recount.spec.ts'],
  ),
  plant(
    'redis: a script that Redis forgot is an error',
    `${REDIS}/redis-scripts.ts`,
    'if (!isNoScript(error)) throw error;',
    'if (error) throw error;',
    ON_REDIS,
  ),
  plant(
    'redis: a lost answer is not asked for again',
    `${REDIS}/redis-calls.ts`,
    "const again = failure === 'moving' || (failure === 'unknown' && !maybeApplied);",
    "const again = failure === 'moving';",
    ['test/integration/redis/calls.spec.ts'],
  ),
  plant(
    'redis: large values stand before decisions',
    `${REDIS}/ledger-scripts.ts`,
    'if (valueBytes <= SMALL_VALUE_BYTES) {',
    'if (valueBytes >= 0) {',
    ['test/integration/redis/values.spec.ts'],
  ),
  plant(
    'redis: an older configuration replaces a newer one',
    `${LUA}/config-put.lua`,
    'if stamp < (tonumber(present) or 0) or stamp < (tonumber(announced) or 0) then return 0 end',
    '',
    ['test/integration/redis/quota-cache.spec.ts'],
  ),
  plant(
    'redis: a change is not told to the ledger',
    `${LUA}/config-announce.lua`,
    "redis.call('HSET', KEYS[2], 'cv', digits(holds))",
    '',
    ['test/integration/redis/quota-cache.spec.ts'],
  ),

  // Deciding and configuration
  plant(
    'core: a quota is off by one byte',
    `${CORE}/decision.ts`,
    'if (usedAfter <= limits.quotaBytes) return QuotaDecision.ALLOW;',
    'if (usedAfter < limits.quotaBytes) return QuotaDecision.ALLOW;',
    [`${CORE}/decision.spec.ts`],
  ),
  plant(
    'core: the kill switch spares a tenant with a mode',
    `${CORE}/rollout.ts`,
    "if (!rollout.enabled) return 'off';",
    "if (!rollout.enabled && quota.mode === null) return 'off';",
    [`${CORE}/rollout.spec.ts`],
  ),
  plant(
    'core: raising the percentage moves tenants about',
    `${CORE}/rollout.ts`,
    "return rolloutBucket(quota.tenant) < rollout.percent ? 'enforce' : 'shadow';",
    "return (rolloutBucket(quota.tenant) * (1 + rollout.percent)) % 100 < rollout.percent ? 'enforce' : 'shadow';",
    [`${CORE}/rollout.spec.ts`],
  ),
  plant(
    'core: a failing write keeps its bytes',
    `${CORE}/quota-checker.ts`,
    '      await this.releaseQuietly(reservation);\n',
    '',
    ON_CHECKER,
  ),
  plant(
    'core: each request loads for itself',
    `${CORE}/quota-cache.service.ts`,
    'if (running !== undefined) return running.promise;',
    '',
    ON_QUOTA_CACHE,
  ),
  plant(
    'core: a configuration goes backwards',
    `${CORE}/quota-cache.service.ts`,
    'if (held !== undefined && held.quota.stamp > quota.stamp) return held.quota;',
    '',
    ON_QUOTA_CACHE,
  ),
  plant(
    'core: a tenant whose quota cannot be loaded is unlimited',
    `${CORE}/quota-cache.service.ts`,
    "throw new QuotaUnavailableError('config', { cause: error, applied: 'no' });",
    'return { ...this.fromSource(tenant, null, minStamp), quotaBytes: Number.MAX_SAFE_INTEGER };',
    ON_QUOTA_CACHE,
  ),
  plant(
    'memory: a correction overrules a write on its way',
    `${MEMORY}/upkeep.ts`,
    'if (ledger.pendingOf(key)) return false;',
    '',
    ON_MEMORY,
  ),
  plant(
    'core: a reconciliation finds only what the ledger knows',
    `${CORE}/reconciler.ts`,
    'views.filter((view) => view.entry === null)',
    '[]',
    [`${CORE}/reconciler.spec.ts`],
  ),

  // At the HTTP edge
  plant(
    'nest: a later guard that refuses leaves the hold',
    `${NEST}/quota.guard.ts`,
    "if (quota.handling || reservation.state !== 'open') return;",
    'if (reservation) return;',
    ON_HTTP,
  ),
  plant(
    'nest: a client that goes away releases what its handler still stores',
    `${NEST}/quota.guard.ts`,
    "if (quota.handling || reservation.state !== 'open') return;",
    "if (reservation.state !== 'open') return;",
    ON_HTTP,
  ),
  plant(
    'nest: a failing handler keeps its bytes',
    `${NEST}/quota.interceptor.ts`,
    'if (storedBytes === undefined) await reservation.release();',
    'if (storedBytes === undefined) await reservation.commit();',
    ON_HTTP,
  ),
  plant(
    'nest: what was stored before a failure is not charged',
    `${NEST}/quota.interceptor.ts`,
    'else await this.commit(context, quota, storedBytes);',
    'else await reservation.release();',
    ON_HTTP,
  ),
  plant(
    'nest: a bomb is read to its end',
    `${NEST}/body-reader.ts`,
    'if (total > maxBytes) finish(new BodyTooLargeError(maxBytes));',
    'if (total < 0) finish(new BodyTooLargeError(maxBytes));',
    ON_HTTP,
  ),
  plant(
    'nest: /healthXYZ is excluded with /health',
    `${NEST}/http-exchange.ts`,
    'path.startsWith(`${prefix}/`)',
    'path.startsWith(prefix)',
    [`${NEST}/http-exchange.spec.ts`],
  ),
  plant(
    'nest: of two tenant headers the first counts',
    `${NEST}/resolvers.ts`,
    'if (values.length > 1) {',
    'if (values.length > 9) {',
    ON_HTTP,
  ),

  // Quotas in PostgreSQL
  plant(
    'postgres: two changes of one version both win',
    `${POSTGRES}/postgres-quota-store.ts`,
    'if (expectedVersion !== undefined && expectedVersion !== version) {',
    'if (expectedVersion === -1) {',
    ON_QUOTAS,
  ),
  plant(
    'postgres: a deleted row takes its stamp along',
    `${POSTGRES}/quota-sql.ts`,
    'WHERE c.tenant_id = wanted.tenant_id), 0) AS stamp',
    'WHERE c.tenant_id = q.tenant_id), 0) AS stamp',
    ON_QUOTAS,
  ),

  // Usage for bills
  plant(
    'usage: a batch that comes twice counts twice',
    `${POSTGRES}/usage-log-sql.ts`,
    'WHERE w.batch < excluded.batch',
    'WHERE w.batch <= excluded.batch',
    ON_USAGE_LOG,
  ),
  plant(
    'usage: across a gap the larger reading counts',
    `${POSTGRES}/usage-log-sql.ts`,
    'THEN least(m.used_bytes, r.bytes)',
    'THEN greatest(m.used_bytes, r.bytes)',
    ON_USAGE_LOG,
  ),
  plant(
    'usage: readers at once count the same time',
    `${POSTGRES}/usage-log-sql.ts`,
    'WHERE tenant_id = ANY($1::text[]) ORDER BY tenant_id FOR UPDATE`',
    'WHERE tenant_id = ANY($1::text[]) ORDER BY tenant_id`',
    ON_USAGE_LOG,
  ),
  plant(
    'usage: an average of averages',
    `${POSTGRES}/usage-log-sql.ts`,
    '(coalesce(m.avg_response_time_ms, 0) * m.total_requests\n        + excluded.avg_response_time_ms * excluded.total_requests)\n      / (m.total_requests + excluded.total_requests)',
    '(coalesce(m.avg_response_time_ms, 0) + excluded.avg_response_time_ms) / 2',
    ON_USAGE_LOG,
  ),
  plant(
    'usage: a batch without an answer is made anew',
    `${CORE}/tally.ts`,
    'this.sending ??= this.nextBatch();',
    'this.sending = this.nextBatch();',
    ON_RECORDER,
  ),
  plant(
    'usage: what is too large for anybody is a refusal',
    `${CORE}/usage-recorder.ts`,
    'if (refused && enforced && bytes > limitBytes) return;',
    '',
    ON_RECORDER,
  ),
];
