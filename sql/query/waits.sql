-- Why threads slept, and for how long: one row per wait, in the order in which they ended.
--
-- Only live captures by eBPF have them. Waits inside calls on files are not among them, unless a captured thread ended them.
--
-- @needs events
-- @from events seq pid tid
-- @column slept BIGINT when the thread left its processor, ns (the manifest's clock says since when)
-- @column woken BIGINT when it was woken, ns
-- @column ran BIGINT when it ran again, ns
-- @column cause VARCHAR what woke it: thread, timer, outside, interrupt, network or unknown
-- @column waker BIGINT id of the captured thread that woke it, or sent what did (network)
SELECT
    seq,
    pid,
    tid,
    ts AS slept,
    ts + dur AS woken,
    ts + dur + ret AS ran,
    CASE cmd WHEN 1 THEN 'thread' WHEN 2 THEN 'timer' WHEN 3 THEN 'outside' WHEN 4 THEN 'interrupt' WHEN 5 THEN 'network' ELSE 'unknown' END AS cause,
    arg AS waker
FROM events
WHERE syscall = 'waited'
ORDER BY seq
