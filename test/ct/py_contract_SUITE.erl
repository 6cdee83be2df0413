%% SPDX-License-Identifier: Apache-2.0
%% @doc The public contract, line by line: each form of each function, and the
%% shape of what it returns.  What they do in depth is for their own suites.
-module(py_contract_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [names, calls, evals, execs, errors, casts, coroutines, parallel, streams, objects, functions,
     contexts, pools, state, dictionaries, looking, logs_and_traces, descriptors,
     of_context, of_context_objects, of_context_loop, of_router, of_event_loop, of_channels,
     of_buffer, of_semaphore, of_imports, web, python_names, python_values].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 2}]),
    Config.

init_per_testcase(_, Config) ->
    [ok = py:exec(C, "import asyncio, erlang\n"
                  "async def later(x): return x\n"
                  "async def fails(x): raise ValueError(x)\n"
                  "def kw(*, a=1, b=2): return (a, b)\n"
                  "def counted(n): yield from range(n)\n"
                  "async def acounted(n):\n"
                  "    for i in range(n): yield i\n"
                  "class Thing:\n"
                  "    size = 3\n"
                  "    def twice(self, x, more=0): return 2 * x + more\n")
     || C <- py_context_router:contexts()],
    Config.

end_per_suite(_) ->
    py_ct:stop().

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()).

ctx() ->
    py:context(1).

%%% py: calls

names(_) ->
    [?assertEqual({ok, 4.0}, py:call(M, F, [16]))
     || M <- [math, <<"math">>, "math"], F <- [sqrt, <<"sqrt">>, "sqrt"]].

calls(_) ->
    [?assertEqual({ok, {1, 5}}, py:call('__main__', kw, [], Kw))
     || Kw <- [#{b => 5}, #{<<"b">> => 5}]],
    ?assertEqual({ok, {1, 2}}, py:call('__main__', kw, [], #{}, 5000)),
    ?assertEqual({ok, {1, 2}}, py:call('__main__', kw, [], #{}, infinity)),
    ?assertEqual({ok, 3}, py:call(ctx(), builtins, abs, [-3])),
    ?assertEqual({ok, 3}, py:call(default, builtins, abs, [-3])),
    ?assertEqual({ok, {9, 2}}, py:call(ctx(), '__main__', kw, [], #{kwargs => #{a => 9},
                                                                   timeout => 5000})),
    {ok, Ref} = py:call(ctx(), builtins, list, [[1]], #{return => ref}),
    ?assert(py:is_ref(Ref)),
    {error, #{type := <<"ValueError">>}} =
        py:call(ctx(), builtins, int, [<<"x">>], #{errors => map}),
    ?assertEqual({ok, #{value => none, stdout => <<"hi\n">>, stderr => <<>>}},
                 py:call(ctx(), builtins, print, [<<"hi">>], #{output => capture})).

evals(_) ->
    ?assertEqual({ok, 2}, py:eval("1 + 1")),
    ?assertEqual({ok, 3}, py:eval(<<"a + b">>, #{a => 1, <<"b">> => 2})),
    ?assertEqual({ok, 1}, py:eval("a", #{a => 1}, 5000)),
    ?assertEqual({ok, 2}, py:eval(ctx(), "1 + 1")),
    ?assertEqual({ok, 1}, py:eval(ctx(), "a", #{a => 1})),
    {error, {"NameError", _}} = py:eval("a").

execs(_) ->
    ?assertEqual(ok, py:exec("x = 1")),
    ?assertEqual(ok, py:exec(ctx(), "x = 1")),
    ?assertEqual(ok, py:exec(ctx(), "x = 1", #{timeout => 5000})).

errors(_) ->
    ?assertEqual({error, {"ZeroDivisionError", "division by zero"}}, py:eval("1 / 0")),
    #{type := <<"ZeroDivisionError">>, traceback := Text} = py:last_error(),
    ?assert(is_binary(Text)),
    ?assertEqual({error, timeout}, py:call(time, sleep, [60], #{}, 50)),
    ?assertMatch({error, {crashed, #{signal := sigkill}}},
                 py:eval("__import__('os').kill(__import__('os').getpid(), 9)")),
    ?assertEqual({error, {invalid, args, x}}, py:call(math, sqrt, x)),
    ?assertEqual({error, {invalid, timeout, -1}}, py:call(math, sqrt, [1], #{}, -1)),
    ?assertEqual({error, {context_died, noproc}}, py:call(spawn(fun() -> ok end), math, sqrt, [1])).

%%% py: without waiting

casts(_) ->
    Forms = [fun(F) -> py:F(math, sqrt, [16]) end,
             fun(F) -> py:F(math, sqrt, [16], #{}) end,
             fun(F) -> py:F(ctx(), math, sqrt, [16]) end,
             fun(F) -> py:F(math, sqrt, [16], #{}, 5000) end,
             fun(F) -> py:F(ctx(), math, sqrt, [16], #{timeout => 5000}) end],
    Refs = [Form(F) || F <- [cast, spawn_call], Form <- Forms],
    ?assert(lists:all(fun is_reference/1, Refs)),
    ?assertEqual([{ok, 4.0} || _ <- Refs], [py:await(R) || R <- Refs]),
    Ref = py:cast(math, sqrt, [16]),
    receive {py_response, Ref, {ok, 4.0}} -> ok end,
    Silent = py:cast(ctx(), math, sqrt, [16], #{reply => false}),
    ?assert(is_reference(Silent)),
    ?assertEqual({error, timeout}, py:await(py:cast(time, sleep, [60]), 50)).

coroutines(_) ->
    Refs = [py:async_call('__main__', later, [7]), py:async_call('__main__', later, [7], #{}),
            py:async_call(ctx(), '__main__', later, [7])],
    ?assertEqual([{ok, 7}, {ok, 7}], [py:async_await(R) || R <- lists:droplast(Refs)]),
    ?assertEqual({ok, 7}, py:async_await(lists:last(Refs), 5000)),
    ?assertEqual({ok, [1, 2]},
                 py:async_gather([{'__main__', later, [1]}, {'__main__', later, [2]}])),
    ?assertEqual({ok, [1]}, py:async_gather([{'__main__', later, [1]}], 5000)),
    ?assertMatch({error, {gather_failed, [{2, {"ValueError", "2"}}]}},
                 py:async_gather([{'__main__', later, [1]}, {'__main__', fails, [2]}])).

parallel(_) ->
    ?assertEqual({ok, [1, 2, 3]}, py:parallel([{builtins, abs, [-N]} || N <- [1, 2, 3]])),
    ?assertMatch({error, {"TypeError", _}}, py:parallel([{builtins, abs, [1]},
                                                         {builtins, abs, ["x"]}])).

streams(_) ->
    [?assertEqual({ok, [0, 1, 2]}, Got)
     || Got <- [py:stream('__main__', counted, [3]), py:stream('__main__', acounted, [3]),
                py:stream('__main__', counted, [3], #{}), py:stream_eval("counted(3)"),
                py:stream_eval("counted(n)", #{n => 3})]],
    {ok, Ref} = py:stream_start('__main__', counted, [2]),
    ?assertEqual([{data, 0}, {data, 1}, done],
                 [receive {py_stream, Ref, E} -> E end || _ <- [1, 2, 3]]),
    {ok, Bad} = py:stream_start(builtins, iter, [5], #{}),
    receive {py_stream, Bad, {error, {"TypeError", _}}} -> ok end,
    {ok, Long} = py:stream_start(itertools, count, []),
    ?assertEqual(ok, py:stream_cancel(Long)).

objects(_) ->
    {ok, Thing} = py:call(ctx(), '__main__', 'Thing', [], #{return => ref}),
    ?assertEqual({ok, 8}, py:call_method(Thing, twice, [4])),
    ?assertEqual({ok, 3}, py:getattr(Thing, size)),
    {ok, List} = py:call(ctx(), builtins, list, [[1, 2]], #{return => ref}),
    ?assertEqual({ok, [1, 2]}, py:to_term(List)),
    ?assertEqual({ok, 2}, py:call(ctx(), builtins, len, [List])),
    ?assertNot(py:is_ref(x)).

functions(_) ->
    ?assertEqual(ok, py:register_function(contract, fun(Args) -> {args, Args} end)),
    ?assertEqual({ok, {args, [1, 2]}}, py:eval("erlang.contract(1, 2)")),
    ?assertEqual(ok, py:register_function(contract, fun(A, Kw) -> {A, Kw} end)),
    ?assertEqual({ok, {[1], #{<<"b">> => 2}}}, py:eval("erlang.call('contract', 1, b=2)")),
    ?assertEqual(ok, py:register_function(contract, ?MODULE, exported)),
    ?assertEqual({ok, 1}, py:eval("erlang.contract(9)")),
    ?assertEqual(ok, py_callback:register(contract, ?MODULE, exported)),
    ?assertEqual({ok, 2}, py:eval("erlang.contract(9, 9)")),
    ?assertEqual(ok, py:unregister_function(contract)),
    {error, {"NameError", _}} = py:eval("erlang.contract(9)").

exported(Args) -> length(Args).

%%% py: contexts, state, looking

contexts(_) ->
    ?assert(is_pid(py:context())),
    ?assert(is_pid(py:context(2))),
    [?assertMatch({error, _}, py:context(N)) || N <- [0, 3]],
    ?assert(py:contexts_started()),
    ?assertMatch({ok, [_, _]}, py:start_contexts()),
    ?assertEqual({error, idle}, py:interrupt(ctx())).

pools(_) ->
    {ok, [_]} = py_context_router:start_pool(contract, 1),
    ?assertEqual(ok, py:register_pool(contract, math)),
    ?assertEqual(ok, py:register_pool(default, {math, floor})),
    ?assertEqual({ok, 2}, py:call(math, floor, [2.5])),
    ?assertEqual({ok, 2.0}, py:call(math, sqrt, [4])),
    ?assertEqual(ok, py:unregister_pool({math, floor})),
    ?assertEqual(ok, py:unregister_pool(math)),
    ok = py_context_router:stop_pool(contract).

state(_) ->
    ?assertEqual({error, not_found}, py:state_fetch(contract)),
    ?assertEqual(ok, py:state_store(contract, 1)),
    [?assertEqual({ok, 1}, py:state_fetch(K)) || K <- [contract, <<"contract">>, "contract"]],
    ?assertEqual([<<"contract">>], py:state_keys()),
    ?assertEqual([2, 12, 11, 1], [py:state_incr(contract), py:state_incr(contract, 10),
                                  py:state_decr(contract), py:state_decr(contract, 10)]),
    ok = py:state_store(contract, x),
    ?assertMatch({error, {not_an_integer, _}}, py:state_incr(contract)),
    ?assertEqual(ok, py:state_remove(contract)),
    ?assertEqual(ok, py:state_clear()).

dictionaries(_) ->
    {ok, D} = py:shared_dict_new(),
    ?assertEqual(ok, py:shared_dict_set(D, k, 1)),
    ?assertEqual([1, undefined, none], [py:shared_dict_get(D, k), py:shared_dict_get(D, x),
                                        py:shared_dict_get(D, x, none)]),
    ?assertEqual([<<"k">>], py:shared_dict_keys(D)),
    ?assertEqual(ok, py:shared_dict_del(D, k)),
    ?assertEqual(ok, py:shared_dict_destroy(D)),
    ?assertMatch({error, _}, py:shared_dict_get(D, k)).

looking(_) ->
    {ok, Version} = py:version(),
    ?assert(is_binary(Version)),
    ?assertEqual(process, py:execution_mode()),
    {ok, #{}} = py:memory_stats(),
    [{ok, N} = {ok, N} || {ok, N} <- [py:gc(), py:gc(0)], is_integer(N)],
    ok = py:tracemalloc_start(),
    ok = py:tracemalloc_start(5),
    ok = py:tracemalloc_stop(),
    {ok, #{}} = py:reload(json),
    #{pools := #{default := #{}}} = py:stats(),
    {ok, #{}} = py:stats(default),
    {ok, Trace} = py:backtrace(ctx()),
    ?assert(is_binary(Trace)),
    {ok, #{<<"active">> := false}} = py:venv_info(),
    ?assertEqual(py:sandbox_info(), py_sandbox:info()).

logs_and_traces(_) ->
    ok = py:configure_logging(),
    ok = py_logger:configure(),
    ok = py:configure_logging(#{level => warning}),
    ok = py:enable_tracing(),
    ok = py:exec("with erlang.Span('contract', a=1): pass"),
    Spans = traces(),
    [Span] = [S || #{name := <<"contract">>} = S <- Spans],
    [?assert(is_map_key(K, Span)) || K <- [name, span_id, parent_id, start_time, end_time,
                                           duration_us, status, attributes, events]],
    ?assertEqual(ok, maps:get(status, Span)),
    ok = py:disable_tracing(),
    ok = py:clear_traces(),
    ?assertEqual([], traces()).

traces() ->
    case py:get_traces() of
        {ok, Spans} -> Spans;
        Spans -> Spans
    end.

descriptors(_) ->
    {ok, Fd} = py:dup_fd(0),
    ?assert(is_integer(Fd)),
    ?assertEqual(ok, py:close_fd(Fd)),
    ?assertMatch({error, _}, py:dup_fd(99999)).

%%% The other modules

of_context(_) ->
    {ok, C} = py_context:new(#{}),
    ?assertEqual({ok, 2.0}, py_context:call(C, math, sqrt, [4])),
    ?assertEqual({ok, 2.0}, py_context:call(C, math, sqrt, [4], #{})),
    ?assertEqual({ok, 2.0}, py_context:call(C, math, sqrt, [4], #{}, 5000)),
    ?assertEqual({ok, 1}, py_context:eval(C, "1")),
    ?assertEqual({ok, 1}, py_context:eval(C, "a", #{a => 1})),
    ?assertEqual({ok, 1}, py_context:eval(C, "a", #{a => 1}, 5000)),
    ?assertEqual(ok, py_context:exec(C, "x = 1")),
    ?assertEqual(ok, py_context:exec(C, "x = 1", 5000)),
    {ok, #{}} = py_context:info(C),
    ?assertEqual({error, idle}, py_context:interrupt(C)),
    {ok, Id} = py_context:get_interp_id(C),
    ?assert(is_integer(Id)),
    ?assertEqual(ok, py_context:stop(C)),
    ?assertMatch({error, {invalid, nonsense, 1}}, py_context:new(#{nonsense => 1})).

of_context_objects(_) ->
    {ok, List} = py:call(ctx(), builtins, list, [[3]], #{return => ref}),
    ?assertEqual({ok, 3}, py_context:call_method(ctx(), List, pop, [])),
    ?assertEqual({ok, []}, py_context:to_term(List)).

of_context_loop(_) ->
    ?assertEqual(ok, py_context:start_loop(ctx())),
    Ref = py_context:submit(ctx(), '__main__', later, [1]),
    ?assertEqual({ok, 1}, py_event_loop:await(Ref)),
    ?assertEqual({ok, 2}, py_context:submit_await(ctx(), '__main__', later, [2])),
    ?assertEqual(ok, py_context:stop_loop(ctx())).

of_router(_) ->
    ?assert(py_context_router:is_started()),
    [?assertEqual(2, N) || N <- [py_context_router:num_contexts(),
                                 py_context_router:num_contexts(default)]],
    [_, _] = py_context_router:contexts(default),
    {ok, C} = py_context_router:get_context(),
    ?assertEqual(ok, py_context_router:bind_context(C)),
    ?assertEqual({ok, C}, py_context_router:get_context(default)),
    ?assertEqual(ok, py_context_router:unbind_context()),
    {ok, [_]} = py_context_router:start_pool(p2, 1, #{}),
    ?assert(py_context_router:pool_started(p2)),
    ?assertEqual(ok, py_context_router:register_pool(p2, math, sqrt)),
    ?assertEqual(p2, py_context_router:lookup_pool(math, sqrt)),
    ?assertMatch([_], py_context_router:list_pool_registrations()),
    ?assertEqual(ok, py_context_router:unregister_pool(math, sqrt)),
    ?assertEqual(ok, py_context_router:stop_pool(p2)).

of_event_loop(_) ->
    ?assertEqual({ok, 1}, py_event_loop:run('__main__', later, [1])),
    ?assertEqual({ok, 1}, py_event_loop:run('__main__', later, [1], #{timeout => 5000})),
    ?assertEqual({ok, 2}, py_event_loop:await(py_event_loop:create_task('__main__', later, [2]))),
    Ref = py_event_loop:create_task('__main__', later, [3]),
    receive {async_result, Ref, {ok, 3}} -> ok end,
    ?assertEqual(ok, py_event_loop:spawn_task('__main__', later, [4])),
    ?assertEqual(ok, py_event_loop:spawn_task(ctx(), '__main__', later, [5], #{timeout => 5000})).

of_channels(_) ->
    of_channel(py_channel, {any, term}),
    of_channel(py_byte_channel, <<"bytes">>).

of_channel(M, Item) ->
    {ok, C} = M:new(),
    ?assertEqual({error, empty}, M:try_receive(C)),
    ?assertEqual({error, timeout}, M:recv(C, 10)),
    [ok = M:send(C, Item) || _ <- [1, 2, 3, 4]],
    [?assertEqual({ok, Item}, R) || R <- [M:recv(C), M:recv(C, 10), M:'receive'(C)]],
    ?assertMatch(#{size := _, max_size := infinity, closed := false}, M:info(C)),
    ?assertEqual(ok, M:close(C)),
    ?assertEqual({ok, Item}, M:recv(C)),
    ?assertEqual({error, closed}, M:recv(C)),
    ?assertEqual({error, closed}, M:send(C, Item)),
    {ok, Small} = M:new(#{max_size => 9}),
    ok = M:send(Small, Item),
    ?assertEqual(busy, M:send(Small, Item)),
    ok = M:close(Small).

of_buffer(_) ->
    {ok, B} = py_buffer:new(),
    ok = py_buffer:write(B, <<"line\n">>),
    ok = py_buffer:close(B),
    ?assertEqual({ok, [<<"line\n">>]}, py:eval("list(erlang.PyBuffer(b))", #{b => B})),
    ?assertEqual({error, closed}, py_buffer:write(B, <<"x">>)).

of_semaphore(_) ->
    {ok, S} = py_semaphore:new(1),
    ok = py_semaphore:acquire(S),
    Self = self(),
    _ = spawn_link(fun() -> Self ! {got, py_semaphore:acquire(S, 0)} end),
    receive {got, Got} -> ?assertEqual({error, {overloaded, 1, 1}}, Got) end,
    ok = py_semaphore:release(S),
    ok = py_semaphore:stop(S),
    ?assertEqual(done, py_semaphore:with(fun() -> done end, 5000)).

of_imports(_) ->
    ?assertEqual(ok, py_import:ensure_imported(json)),
    ?assertEqual(ok, py_import:ensure_imported(json, dumps)),
    ?assert(py_import:is_imported(json)),
    ?assertEqual(ok, py_import:clear_imports()),
    ?assertNot(py_preload:has_preload()),
    ?assertEqual(ok, py_preload:set_code("contract = 1")),
    ?assertEqual(ok, py_preload:clear_code()).

web(_) ->
    {ok, {200, Headers, Body}} =
        py_wsgi:run('wsgiref.simple_server', demo_app, #{'PATH_INFO' => <<"/">>}),
    ?assert(lists:all(fun({N, V}) -> is_binary(N) andalso is_binary(V) end, Headers)),
    ?assert(is_binary(Body)),
    [ok = py:exec(C, "async def app(scope, receive, send):\n"
                  "    await send({'type': 'http.response.start', 'status': 204, 'headers': []})\n"
                  "    await send({'type': 'http.response.body'})\n")
     || C <- py_context_router:contexts()],
    ?assertEqual({ok, {204, [], <<>>}}, py_asgi:run('__main__', app, #{}, <<>>)),
    ?assertEqual({ok, {204, [], <<>>}}, py_asgi:run('__main__', app, #{}, <<>>, 5000)).

%%% Python's side

python_names(_) ->
    Names = <<"call async_call send whereis self reply Pid Ref Port Fun Atom atom BitString "
              "ImproperList state_get state_set state_delete state_keys state_clear state_incr "
              "state_decr SharedDict run new_event_loop install EventLoopPolicy "
              "get_event_loop_policy ErlangEventLoop spawn_task sleep schedule schedule_py "
              "schedule_inline consume_time_slice Channel ByteChannel ChannelClosed "
              "ByteChannelClosed PyBuffer ErlangHandler setup_logging Span trace ErlangError "
              "ProcessError Semaphore SharedMemory">>,
    %% What the package does not have is a function of Erlang.
    ?assertEqual({ok, []}, py:eval("[n for n in names.split() if isinstance("
                                   "getattr(erlang, n), type(erlang.nobody_has_this))]",
                                   #{names => Names})),
    ok = py:exec("import erlang.reactor, erlang.server\n"
                 "erlang.reactor.Protocol, erlang.reactor.set_protocol_factory\n"
                 "erlang.reactor.serve, erlang.reactor.run_fd\n"
                 "erlang.server.serve, erlang.server.adopt, erlang.server.stop_serving"),
    ?assertEqual({ok, true}, py:eval("issubclass(erlang.ErlangError, RuntimeError)")).

python_values(_) ->
    Self = self(),
    ?assertEqual({ok, Self}, py:eval("erlang.self()")),
    ?assertEqual({ok, none}, py:eval("erlang.whereis('nobody_of_that_name')")),
    ok = py:exec("erlang.send(erlang.self(), ('hello', 1))\nerlang.reply(erlang.self(), 2)"),
    receive {<<"hello">>, 1} -> ok end,
    receive 2 -> ok end,
    ?assertEqual({ok, ok}, py:eval("erlang.atom('ok')")),
    ok = py:register_function(contract_fails, fun(_) -> error(because) end),
    ok = py:exec("try: erlang.contract_fails()\n"
                 "except erlang.ErlangError as e: caught = (e.kind, e.reason, type(e.stacktrace))\n"
                 "else: caught = None\n"
                 "assert caught[:2] == ('error', 'because'), caught"),
    ok = py:unregister_function(contract_fails).
