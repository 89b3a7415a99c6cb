-- The end state that the model predicts for a replay of every event.
--
-- What is not replayed (`--where` and the like) counts as done by nobody.
--
-- @needs chosen
-- @from expect
SELECT at_path AS path, kind, size, target
FROM chosen
WHERE tag = 'expect'
ORDER BY pos
