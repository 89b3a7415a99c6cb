-- Which way bytes went in the capture, and whether they are replayed, as the workload's manifest says.
--
-- @title Ledger of bytes
-- @part ledger
-- @plot table
-- @needs manifests fates
-- @column route VARCHAR the way that they took
-- @column replayed VARCHAR are they moved by the replay, too?
-- @column reason VARCHAR why not
-- @column calls VARCHAR calls that moved them
-- @column bytes VARCHAR how many are known
WITH cells AS (
    SELECT split_part(key, '.', 2) AS number, split_part(key, '.', 3) AS name, value
    FROM manifests
    WHERE kind = 'workload' AND regexp_like(key, '^bytes[.][0-9]+[.][a-z]+$')
)
SELECT
    max(value) FILTER (WHERE name = 'route') AS route,
    max(value) FILTER (WHERE name = 'replayed') AS replayed,
    max(value) FILTER (WHERE name = 'reason') AS reason,
    max(value) FILTER (WHERE name = 'calls') AS calls,
    max(value) FILTER (WHERE name = 'bytes') AS bytes
FROM cells
GROUP BY number
ORDER BY replayed DESC, route, reason
LIMIT 40
