-- Edges by kind of resource: how many there are, and how many are kept.
--
-- @needs pruned
-- @column resource VARCHAR kind of the resource
-- @column edges BIGINT edges that the resources of this kind ask for
-- @column kept BIGINT of them those that do not follow from others
SELECT resource, count(*) AS edges, count(*) FILTER (WHERE kept) AS kept
FROM pruned
GROUP BY resource
ORDER BY resource
