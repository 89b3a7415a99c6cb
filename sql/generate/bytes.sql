-- The byte ledger: which way bytes went in the capture, how many of them are replayed, and why the others are not.
--
-- Beside stage `ledger`, which counts calls. Of mappings nobody counts what goes through them, so each file that is mapped
-- counts once, from the first to the last byte of its mappings; they are made in the replay and their pages not touched.
--
-- @needs chosen
-- @from walk route
-- @column replayed BOOLEAN do they go that way in the replay, too?
-- @from fates reason
-- @column calls BIGINT calls, requests or page faults
-- @column unknown BIGINT of them those that may have moved bytes of files, and the capture does not show how many
-- @column files BIGINT of mappings how many files
-- @column bytes BIGINT bytes that they moved, mapped or wrote back
-- @column read BIGINT of them those out of files, of the replay or that may be; what copies counts here and there
-- @column written BIGINT those into such files
WITH
parts AS (
    SELECT
        route, fate, reason, moves, CASE WHEN route LIKE 'mapped%' THEN file END AS mapped,
        count(*) AS calls, sum(bytes) AS bytes, max(at_offset + bytes) - min(at_offset) AS span,
        count(*) FILTER (WHERE bytes IS NULL AND (moves <> 'nothing' OR route = 'unknown')) AS unknown
    FROM chosen
    WHERE tag = 'event' AND route IS NOT NULL
    GROUP BY route, fate, reason, moves, CASE WHEN route LIKE 'mapped%' THEN file END
)
SELECT
    route, fate = 'op' AND route NOT LIKE 'mapped%' AS replayed, reason, CAST(sum(calls) AS BIGINT) AS calls,
    CAST(sum(unknown) AS BIGINT) AS unknown, count(mapped) AS files,
    coalesce(sum(CASE WHEN mapped IS NULL THEN bytes ELSE span END), 0) AS bytes,
    coalesce(sum(bytes) FILTER (WHERE moves IN ('reads', 'copies')), 0) AS read,
    coalesce(sum(bytes) FILTER (WHERE moves IN ('writes', 'copies')), 0) AS written
FROM parts
GROUP BY route, fate, reason
ORDER BY route, fate, reason
