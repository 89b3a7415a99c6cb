-- How often the model gave an answer, and how often that was observed in the kernel rather than inferred from the calls.
--
-- Text captures show calls only, so nearly all is inferred; live captures show what the kernel had when a call returned.
--
-- @needs chosen
-- @column answer VARCHAR positions: where a call on a shared position began; identities: which file a path led to; sizes: how long a file was at the start
-- @column answers BIGINT how many
-- @column observed BIGINT of them, observed
SELECT kind AS answer, size AS answers, at_offset AS observed
FROM chosen
WHERE tag = 'evidence'
ORDER BY pos
