%% SPDX-License-Identifier: Apache-2.0
%% @doc Many calls leave the memory of the VM and of the helper flat.
%%
%% TERRARIUM_LEAK_CALLS sets the number of calls (default 40000).
-module(py_leak_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

%% What may stay: a little of what is in use; of what the system counts also
%% what the VM's allocators keep for later, which comes and goes by MiBs.
-define(SLACK_KIB, #{vm_used => 4096, helper => 4096, vm => 32768}).

suite() -> [{timetrap, {minutes, 30}}].

all() -> [calls, errors, timeouts, large_values, references, callbacks, callbacks_of_threads].

%% A sanitizer keeps what is freed for a while, to notice who uses it.
init_per_suite(Config) ->
    case os:getenv("TERRARIUM_SAN") of
        false -> start(Config);
        _ -> {skip, "the sanitizer does not give memory back"}
    end.

start(Config) ->
    ok = py_ct:start([{contexts, 1}, {grace_ms, 1000}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

count() ->
    list_to_integer(os:getenv("TERRARIUM_LEAK_CALLS", "40000")).

calls(_) ->
    flat(count(), fun(N) -> {ok, N} = py:call(operator, pos, [N]) end).

errors(_) ->
    flat(count() div 8,
         fun(_) -> {error, {"ValueError", _}} = py:call(builtins, int, [<<"x">>]) end).

timeouts(_) ->
    flat(200, fun(_) -> {error, timeout} = py:call(time, sleep, [60], #{}, 1) end).

large_values(_) ->
    Data = binary:copy(<<255>>, 300000),
    flat(count() div 100, fun(_) -> {ok, Data} = py:call(operator, getitem, [[Data], 0]) end).

references(_) ->
    Ctx = py:context(1),
    Opts = #{return => ref},
    flat(count() div 8, fun(N) ->
                            {ok, Ref} = py:call(Ctx, builtins, list, [[N]], Opts),
                            {ok, [N]} = py:to_term(Ref),
                            ok = py_context:release(Ref)
                        end).

callbacks(_) ->
    ok = py:register_function(leak_suite, fun([N]) -> N end),
    flat(count() div 8,
         fun(N) -> {ok, N} = py:eval("__import__('erlang').leak_suite(n)", #{n => N}) end),
    ok = py:unregister_function(leak_suite).

%% Each in a process of its own.
callbacks_of_threads(_) ->
    ok = py:register_function(leak_suite, fun([N]) -> N end),
    ok = py:exec("import erlang, threading\n"
                 "def call(n):\n"
                 "    r = []\n"
                 "    t = threading.Thread(target=lambda: r.append(erlang.leak_suite(n)))\n"
                 "    t.start()\n"
                 "    t.join()\n"
                 "    return r[0]\n"),
    flat(count() div 40, fun(N) -> {ok, N} = py:call('__main__', call, [N]) end),
    ok = py:unregister_function(leak_suite).

%% A tenth first, to fill what is filled once; then all of it.
flat(N, Fun) ->
    lists:foreach(Fun, lists:seq(1, max(100, N div 10))),
    Before = memory(),
    lists:foreach(Fun, lists:seq(1, N)),
    After = memory(),
    ct:pal("~b calls; before ~p, after ~p (KiB)", [N, Before, After]),
    io:format(user, "~b calls; KiB before ~p, after ~p~n", [N, Before, After]),
    [?assert(maps:get(K, After) =< maps:get(K, Before) + Slack)
     || {K, Slack} <- maps:to_list(?SLACK_KIB)],
    ?assertEqual(maps:get(atoms, Before), maps:get(atoms, After)),
    ?assertEqual([], py_ct:mailbox()).

memory() ->
    erlang:garbage_collect(),
    {ok, #{os_pid := Helper}} = py_context:info(py:context(1)),
    {ok, _} = py:eval("__import__('gc').collect()"),
    #{vm => rss(os:getpid()), vm_used => erlang:memory(total) div 1024,
      helper => rss(integer_to_list(Helper)), atoms => erlang:system_info(atom_count)}.

rss(Pid) ->
    {ok, Text} = file:read_file("/proc/" ++ Pid ++ "/status"),
    {match, [Kib]} = re:run(Text, "VmRSS:\\s+(\\d+)", [{capture, [1], list}]),
    list_to_integer(Kib).
