-- The longest paths over lanes and edges: no replay in resource order is shorter, however many workers it has.
--
-- @needs ops pruned
-- @column ops BIGINT on the path with the most ops
-- @column ns BIGINT captured time of the calls on the path that took longest, ns
WITH
lanes AS (SELECT lane, count(*) AS ops, coalesce(sum(dur), 0) AS ns FROM ops GROUP BY lane),
held AS (SELECT lane AS waiting, max(ops_held) AS ops, max(ns_held) AS ns FROM pruned GROUP BY lane)
SELECT
    coalesce(max(lanes.ops + coalesce(held.ops, 0)), 0) AS ops,
    CAST(coalesce(max(lanes.ns + coalesce(held.ns, 0)), 0) AS BIGINT) AS ns
FROM held
RIGHT JOIN lanes ON lanes.lane = held.waiting
