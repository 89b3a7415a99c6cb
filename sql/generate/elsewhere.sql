-- Ops whose files were on a kind of file system that the replay does not make, by what is to be said of them.
--
-- @needs chosen
-- @column reason VARCHAR what their file system was, and what they are on in the replay (fate.rs)
-- @column ops BIGINT how many ops of captured calls
-- @column bytes BIGINT bytes that these moved
SELECT elsewhere AS reason, count(*) AS ops, coalesce(sum(bytes) FILTER (WHERE moves <> 'nothing'), 0) AS bytes
FROM chosen
WHERE tag = 'event' AND elsewhere IS NOT NULL AND fate = 'op'
GROUP BY elsewhere
ORDER BY elsewhere
