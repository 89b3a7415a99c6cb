-- Files that the program wrote back for several threads at once (group commit): who finds nobody at it does so for all who wait.
--
-- That is taken from what the capture shows: at least 20 syncs of the file, by several lanes, never two of them under way at once, and
-- each after a write that no sync before it has covered; and a sync is for more than who makes it: in the mean four threads at least go
-- on behind one. (A mutex lets one go on, which then syncs for itself, and a queue of what was written a second one.) Where nobody is
-- known to be woken behind them, as in captures without waits, it is threads that do not sync what they have written, of a tenth of the
-- writes at least, but write on when the sync of another one is over. At most 1024 files, those with most syncs.
--
-- @needs ops edges syscall_def
-- @from ops file
WITH timed AS (
    SELECT ops.file, ops.op_id, ops.lane, ops.ring, ops.ts, ops.ts + ops.dur AS over, ops.ret, def.class = 'syncs' AS syncs
    FROM ops
    JOIN syscall_def AS def ON def.syscall = ops.op
    WHERE ops.file IS NOT NULL AND def.class IN ('writes', 'syncs')
),
shared AS (
    SELECT file
    FROM timed
    WHERE syncs
    GROUP BY file
    HAVING min(lane) < max(lane) AND count(*) >= 20 AND count(ring) = 0 AND count(*) = count(over) AND count(*) = count(ret) FILTER (WHERE ret = 0)
),
calls AS (SELECT timed.* FROM timed JOIN shared ON shared.file = timed.file),
turns AS (
    SELECT
        file, lane, ts, syncs,
        lag(syncs) OVER (PARTITION BY file ORDER BY op_id) AS synced,
        max(CASE WHEN syncs THEN over END) OVER (PARTITION BY file ORDER BY op_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before,
        -- The next sync of the file, whoever makes it, and what the thread itself does next with the file.
        min(CASE WHEN syncs THEN op_id END) OVER (PARTITION BY file ORDER BY op_id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS covered_by,
        lead(syncs) OVER (PARTITION BY file, lane ORDER BY op_id) AS next_syncs,
        lead(ts) OVER (PARTITION BY file, lane ORDER BY op_id) AS next_ts
    FROM calls
),
woken AS (
    SELECT calls.file, count(*) AS wakes
    FROM edges
    JOIN calls ON calls.op_id = edges.after AND calls.syncs
    WHERE edges.resource = 'wake'
    GROUP BY calls.file
),
judged AS (
    SELECT turns.file, count(*) FILTER (WHERE turns.syncs) AS syncs
    FROM turns
    LEFT JOIN woken ON woken.file = turns.file
    LEFT JOIN calls AS covers ON covers.file = turns.file AND covers.op_id = turns.covered_by AND NOT turns.syncs
    GROUP BY turns.file
    HAVING count(*) FILTER (WHERE turns.syncs AND turns.ts < turns.before) = 0
        AND count(*) FILTER (WHERE turns.syncs AND turns.synced) = 0
        AND (
            max(woken.wakes) >= 4 * count(*) FILTER (WHERE turns.syncs)
            OR max(woken.wakes) IS NULL AND count(*) FILTER (WHERE covers.lane <> turns.lane AND NOT turns.next_syncs AND turns.next_ts >= covers.over)
                >= greatest(8, count(*) FILTER (WHERE NOT turns.syncs) / 10)
        )
),
most AS (SELECT file FROM judged ORDER BY syncs DESC, file LIMIT 1024)
SELECT file FROM most ORDER BY file
