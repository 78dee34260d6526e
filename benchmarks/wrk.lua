-- wrk -s wrk.lua URL -- PATH FILE [polite]: one POST for each line of FILE, over and over; one JSON object at the end.
-- A polite client that is refused waits for a second, as Retry-After asks.

local requests, at, threads = {}, 0, {}
answered, refused, waiting = 0, 0, 0

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local headers = { ["Content-Type"] = "application/json", Host = wrk.headers["Host"] }
  for body in io.lines(args[2]) do
    table.insert(requests, wrk.format("POST", args[1], headers, body))
  end
  if args[3] == "polite" then
    response = function(status)
      if status == 200 then
        answered = answered + 1
      else
        refused, waiting = refused + 1, waiting + 1
      end
    end
    delay = function()
      if waiting == 0 then return 0 end
      waiting = waiting - 1
      return 1000
    end
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local refusals = 0
  for _, thread in ipairs(threads) do
    refusals = refusals + thread:get("refused")
  end
  local share = 1 - refusals / math.max(summary.requests, 1)
  -- Refusals are the quickest answers, so this is the 99th percentile of the others.
  local p99 = latency:percentile(math.max(100 - share, 0.01))
  local failed = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.3f, "refused": %d, "not_ok": %d, "lost": %d, "p50_ms": %.2f, "p99_ms": %.2f}\n',
    summary.requests, summary.duration / 1e6, refusals, failed.status,
    failed.connect + failed.read + failed.write + failed.timeout,
    latency:percentile(50) / 1000, p99 / 1000))
end
