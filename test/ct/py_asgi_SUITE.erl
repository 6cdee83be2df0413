%% SPDX-License-Identifier: Apache-2.0
%% @doc ASGI applications, through real contexts.  What they may send is tested
%% without a VM, in test/py/test_asgi.py and test_lifespan.py.
-module(py_asgi_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(CODE,
        "import asyncio, os, time, threading\n"
        "log = []\n"
        "together = None\n"
        "here = 0\n"
        "def http_only(app):\n"
        "    async def only(scope, receive, send):\n"
        "        assert scope['type'] == 'http'\n"
        "        await app(scope, receive, send)\n"
        "    return only\n"
        "async def answer(send, body=b'', headers=(), status=200):\n"
        "    await send({'type': 'http.response.start', 'status': status,\n"
        "                'headers': headers})\n"
        "    await send({'type': 'http.response.body', 'body': body})\n"
        "@http_only\n"
        "async def echo(scope, receive, send):\n"
        "    body, sizes = [], []\n"
        "    while True:\n"
        "        m = await receive()\n"
        "        body.append(m['body'])\n"
        "        if not m['more_body']: break\n"
        "    headers = [(b'n', str(len(body)).encode())] + scope['headers']\n"
        "    await answer(send, b''.join(body), headers, 201)\n"
        "@http_only\n"
        "async def show(scope, receive, send):\n"
        "    await answer(send, repr(sorted(scope.items())).encode())\n"
        "@http_only\n"
        "async def wait_for_all(scope, receive, send):\n"
        "    global here, together\n"
        "    here += 1\n"
        "    if together is None: together = asyncio.Event()\n"
        "    if here == 1000: together.set()\n"
        "    await together.wait()\n"
        "    await answer(send, scope['query_string'])\n"
        "@http_only\n"
        "async def long(scope, receive, send):\n"
        "    log.append('begun')\n"
        "    try: await asyncio.sleep(3600)\n"
        "    finally: log.append((await receive())['type'])\n"
        "@http_only\n"
        "async def poll(scope, receive, send):\n"
        "    await receive()\n"
        "    log.append('begun')\n"
        "    log.append((await receive())['type'])\n"
        "    await asyncio.sleep(0)\n"
        "    log.append('ended')\n"
        "@http_only\n"
        "async def endless(scope, receive, send):\n"
        "    log.append('begun')\n"
        "    await send({'type': 'http.response.start', 'status': 200})\n"
        "    try:\n"
        "        while True:\n"
        "            await send({'type': 'http.response.body', 'body': b'',\n"
        "                        'more_body': True})\n"
        "    finally: log.append('ended')\n"
        "@http_only\n"
        "async def floods(scope, receive, send):\n"
        "    await send({'type': 'http.response.start', 'status': 200})\n"
        "    while True:\n"
        "        await send({'type': 'http.response.body', 'body': b'x' * 9999,\n"
        "                    'more_body': True})\n"
        "@http_only\n"
        "async def goes_on(scope, receive, send):\n"
        "    await answer(send, b'early')\n"
        "    log.append((await receive())['type'])\n"
        "@http_only\n"
        "async def sends(scope, receive, send):\n"
        "    for kind in scope['kinds']: await send({'type': kind, 'status': 200})\n"
        "@http_only\n"
        "async def fails(scope, receive, send): raise LookupError('mine')\n"
        "@http_only\n"
        "async def pid(scope, receive, send): await answer(send, str(os.getpid()).encode())\n"
        "async def lives(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan':\n"
        "        log.append((await receive())['type'])\n"
        "        scope['state']['db'] = 'open'\n"
        "        await send({'type': 'lifespan.startup.complete'})\n"
        "        log.append((await receive())['type'])\n"
        "        await asyncio.sleep(0.01)\n"
        "        log.append('closed')\n"
        "        await send({'type': 'lifespan.shutdown.complete'})\n"
        "    elif scope['path'] == '/long':\n"
        "        log.append('request')\n"
        "        try: await asyncio.sleep(3600)\n"
        "        finally: log.append('request cancelled')\n"
        "    else:\n"
        "        await answer(send, scope['state']['db'].encode())\n"
        "async def refuses(scope, receive, send):\n"
        "    await receive()\n"
        "    await send({'type': 'lifespan.startup.failed', 'message': 'no disk'})\n"
        "async def dies_late(scope, receive, send):\n"
        "    if scope['type'] == 'http': return await answer(send, b'')\n"
        "    await receive()\n"
        "    await send({'type': 'lifespan.startup.complete'})\n"
        "    await receive()\n"
        "    log.append('never mind')\n"
        "    await asyncio.sleep(3600)\n"
        "async def run_asgi(module, name, scope, body):\n"
        "    return 202, [(module, name)], scope['path'].encode() + body\n").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [responses, headers, texts, scopes, bad_scopes, bodies, large_body, order_of_messages, errors,
     error_maps, thousand_at_once, timeout, timeout_of_a_listener, timeout_of_a_stream,
     caller_dies, goes_on_after_the_response, larger_than_a_frame, helper_dies, helper_is_killed,
     routing, targets, options, runner, lifespan, lifespan_fails, lifespan_is_slow_to_end,
     lifespan_ends_with_its_helper,
     in_a_callback, nothing_is_left].

init_per_testcase(_, Config) ->
    ok = py_ct:start([{contexts, 1}]),
    C = py:context(1),
    ok = py:exec(C, ?CODE),
    [{context, C} | Config].

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()),
    py_ct:stop().

context(Config) -> proplists:get_value(context, Config).

run(C, App, Scope) -> run(C, App, Scope, <<>>).

run(C, App, Scope, Body) -> py_asgi:run('__main__', App, Scope, Body, #{context => C}).

logged(C, What) ->
    py_ct:eventually(fun() -> py:eval(C, "w in log", #{w => What}) =:= {ok, true} end).

responses(Config) ->
    C = context(Config),
    ?assertEqual({ok, {201, [{<<"n">>, <<"1">>}], <<"body">>}}, run(C, echo, #{}, <<"body">>)),
    ?assertEqual({ok, {201, [{<<"n">>, <<"1">>}], <<>>}}, py_asgi:run('__main__', echo, #{}, <<>>)),
    ?assertEqual({ok, {201, [{<<"n">>, <<"1">>}], <<>>}},
                 py_asgi:run("__main__", <<"echo">>, #{}, <<>>, 5000)).

%% Any byte in a value, any order, any number of the same name.
headers(Config) ->
    C = context(Config),
    Bytes = list_to_binary(lists:seq(1, 255) -- "\r\n"),
    Given = [{<<"x-b">>, Bytes}, {<<"x-a">>, <<>>}, {<<"x-b">>, <<"2">>}, {'X-Atom', "text"},
             [<<"x-list">>, <<"\"">>]],
    {ok, {201, [{<<"n">>, _} | Back], _}} = run(C, echo, #{headers => Given}),
    ?assertEqual([{<<"x-b">>, Bytes}, {<<"x-a">>, <<>>}, {<<"x-b">>, <<"2">>},
                  {<<"x-atom">>, <<"text">>}, {<<"x-list">>, <<"\"">>}], Back),
    {ok, {201, [_ | FromMap], _}} = run(C, echo, #{headers => #{<<"Host">> => <<"a">>}}),
    ?assertEqual([{<<"host">>, <<"a">>}], FromMap).

texts(Config) ->
    C = context(Config),
    Show = fun(Scope) -> {ok, {200, [], Body}} = run(C, show, Scope), Body end,
    Has = fun(Scope, Text) -> ?assertNotEqual(nomatch, string:find(Show(Scope), Text)) end,
    Has(#{path => <<"/ä€𝄞"/utf8>>}, <<"('path', '/ä€𝄞')"/utf8>>),
    Has(#{path => "/ä€"}, <<"('path', '/ä€')"/utf8>>),
    Has(#{path => <<"/", 255>>}, <<"('path', '/�')"/utf8>>),
    Has(#{query_string => <<"a=ä"/utf8>>}, <<"('query_string', b'a=\\xc3\\xa4')">>),
    Has(#{query_string => <<255>>}, <<"('query_string', b'\\xff')">>),
    Has(#{raw_path => <<"/%C3%A4">>}, <<"('raw_path', b'/%C3%A4')">>),
    Has(#{method => post}, <<"('method', 'POST')">>).

scopes(Config) ->
    C = context(Config),
    Scope = #{type => http, <<"http_version">> => <<"2">>, "scheme" => "https", path => <<"/">>,
              root_path => <<"/app">>, client => {{127, 0, 0, 1}, 4711},
              server => [<<"::1">>, 80], state => #{user => <<"ada">>},
              extensions => #{<<"tls">> => #{}}, 'my.own' => [1, 2]},
    {ok, {200, [], Body}} = run(C, show, Scope),
    [?assertNotEqual(nomatch, string:find(Body, Text), Text)
     || Text <- ["'http_version', '2'", "'scheme', 'https'", "'root_path', '/app'",
                 "'client', ('127.0.0.1', 4711)", "'server', ('::1', 80)",
                 "'extensions', {'tls': {}}", "'my.own', [1, 2]", "'type', 'http'"]],
    {ok, {200, [], Unix}} = run(C, show, #{server => {<<"/run/x">>, none}, client => none}),
    ?assertNotEqual(nomatch, string:find(Unix, "'server', ('/run/x', None)")).

bad_scopes(Config) ->
    C = context(Config),
    [?assertEqual({error, {invalid, Key, Value}}, run(C, echo, #{Key => Value}))
     || {Key, Value} <- [{type, websocket}, {type, <<"lifespan">>}, {type, 7}, {path, 7},
                         {method, {}}, {query_string, 7}, {raw_path, 7}, {headers, x},
                         {client, x}, {server, {<<"x">>, x}}, {state, 1}, {extensions, []},
                         {asgi, x}, {<<"headers">>, [x | y]}]],
    ?assertEqual({error, {invalid, headers, x}}, run(C, echo, #{headers => [x]})),
    ?assertEqual({error, {invalid, headers, 1.0}}, run(C, echo, #{headers => [{<<"a">>, 1.0}]})),
    ?assertEqual({error, {invalid, client, {1, 2}}}, run(C, echo, #{client => {{1, 2}, 80}})),
    ?assertEqual({error, {invalid, scope, 7}}, run(C, echo, #{7 => 1})),
    ?assertEqual({error, {invalid, scope, []}}, run(C, echo, [])).

bodies(Config) ->
    C = context(Config),
    Pieces = fun(Body) ->
                     {ok, {201, [{<<"n">>, N}], Back}} = run(C, echo, #{}, Body),
                     {binary_to_integer(N), Back}
             end,
    ?assertEqual({1, <<255, 0>>}, Pieces(<<255, 0>>)),
    ?assertEqual({3, <<"one2three">>}, Pieces([<<"one">>, ["2"], [<<"thr">>, "ee"]])),
    ?assertEqual({1, <<"text">>}, Pieces("text")),
    ?assertEqual({1, <<>>}, Pieces([])),
    [?assertEqual({error, {invalid, body, Bad}}, run(C, echo, #{}, Bad))
     || Bad <- [7, x, [<<"a">> | <<"b">>], "€"]],
    ?assertEqual({error, {invalid, body, {}}}, run(C, echo, #{}, [<<"a">>, {}])).

large_body(Config) ->
    C = context(Config),
    Bytes = random(5 bsl 20),
    Text = binary:copy(<<"0123456789abcdef">>, 5 bsl 16),
    [begin
         {ok, {201, _, Back}} = run(C, echo, #{}, Body),
         ?assert(Back =:= iolist_to_binary(Body))
     end || Body <- [Bytes, Text, [Bytes, Text, Bytes]]].

random(Size) ->
    rand:bytes(Size).

order_of_messages(Config) ->
    C = context(Config),
    [?assertEqual({error, {Type, Message}}, run(C, sends, #{kinds => Kinds}))
     || {Type, Message, Kinds} <-
            [{"RuntimeError", "the application ended and sent no response", []},
             {"RuntimeError", "http.response.body was sent before http.response.start",
              [<<"http.response.body">>]},
             {"RuntimeError", "http.response.start was sent twice",
              [<<"http.response.start">>, <<"http.response.start">>]},
             {"ValueError", "a message of type 'http.response.trailers' can't be sent here",
              [<<"http.response.start">>, <<"http.response.trailers">>]}]].

errors(Config) ->
    C = context(Config),
    ?assertEqual({error, {"LookupError", "mine"}}, run(C, fails, #{})),
    ?assertMatch({error, {"AttributeError", _}}, run(C, missing, #{})),
    ?assertMatch({error, {"ModuleNotFoundError", _}}, py_asgi:run(no_such, app, #{}, <<>>)),
    ?assertEqual({error, {"TypeError",
                          "__main__.log is no application: list is not callable"}},
                 run(C, log, #{})),
    ?assertEqual({error, {invalid, module, 7}}, py_asgi:run(7, app, #{}, <<>>)),
    ?assertEqual({error, {invalid, callable, {}}}, py_asgi:run(m, {}, #{}, <<>>)),
    %% What is in the helper is not to be trusted.
    [begin
         ok = py:exec(C, ["import erlang._asgi\nerlang._asgi.run = lambda *_: ", Answer]),
         ?assertEqual({error, {protocol, <<"no response in the answer">>}}, run(C, echo, #{}))
     end || Answer <- ["7", "('200', [], b'')", "(200, None, b'')", "(200, [], 5)"]].

error_maps(Config) ->
    Options = #{context => context(Config), errors => map},
    {error, Story} = py_asgi:run('__main__', fails, #{}, <<>>, Options),
    ?assertMatch(#{type := <<"LookupError">>, message := <<"mine">>}, Story),
    ?assertNotEqual(nomatch, string:find(maps:get(traceback, Story), "in fails")).

%% None is answered before all are there.
thousand_at_once(Config) ->
    C = context(Config),
    Results = py_ct:parallel(1000, fun(I) ->
                                           Query = integer_to_binary(I),
                                           run(C, wait_for_all, #{query_string => Query})
                                   end),
    ?assertEqual([{ok, {200, [], integer_to_binary(I)}} || I <- lists:seq(1, 1000)], Results).

%% The time is up when the application has begun.
too_long(C, App) -> too_long(C, App, 100).

too_long(C, App, Timeout) ->
    Options = #{context => C, timeout => Timeout},
    ?assertEqual({error, timeout}, py_asgi:run('__main__', App, #{}, <<>>, Options)),
    case py:eval(C, "'begun' in log") of
        {ok, true} -> ok;
        {ok, false} -> too_long(C, App, 2 * Timeout)
    end.

timeout(Config) ->
    C = context(Config),
    too_long(C, long),
    logged(C, <<"http.disconnect">>),
    ?assertMatch({ok, {201, _, _}}, run(C, echo, #{})).

%% Who listens for it is told, and may end in peace.
timeout_of_a_listener(Config) ->
    C = context(Config),
    too_long(C, poll),
    logged(C, <<"ended">>),
    ?assertEqual({ok, [<<"begun">>, <<"http.disconnect">>, <<"ended">>]}, py:eval(C, "log")).

timeout_of_a_stream(Config) ->
    C = context(Config),
    too_long(C, endless),
    logged(C, <<"ended">>).

caller_dies(Config) ->
    C = context(Config),
    {Pid, Mon} = spawn_monitor(fun() -> run(C, long, #{}) end),
    logged(C, <<"begun">>),
    exit(Pid, kill),
    receive {'DOWN', Mon, process, _, _} -> ok end,
    logged(C, <<"http.disconnect">>).

goes_on_after_the_response(Config) ->
    C = context(Config),
    ?assertEqual({ok, {200, [], <<"early">>}}, run(C, goes_on, #{})),
    logged(C, <<"http.disconnect">>).

larger_than_a_frame(_) ->
    {ok, C} = py_context:new(#{max_frame => 100000}),
    ok = py:exec(C, ?CODE),
    ?assertEqual({error, {"EncodeError", "the response is larger than max_frame, 100000 bytes"}},
                 run(C, floods, #{})),
    ?assertMatch({error, {too_large, _, 100000}},
                 run(C, echo, #{}, binary:copy(<<0>>, 200000))),
    ?assertMatch({ok, {201, _, _}}, run(C, echo, #{}, <<"small">>)),
    ok = py_context:stop(C).

helper_dies(Config) ->
    C = context(Config),
    ok = py:exec(C, "@http_only\nasync def dies(scope, receive, send): os.abort()\n"),
    ?assertMatch({error, {crashed, #{signal := sigabrt}}}, run(C, dies, #{})),
    ok = py:exec(C, ?CODE),
    ?assertMatch({ok, {201, _, _}}, run(C, echo, #{})).

helper_is_killed(Config) ->
    C = context(Config),
    Self = self(),
    _ = [spawn_link(fun() -> Self ! {done, run(C, long, #{})} end) || _ <- lists:seq(1, 20)],
    py_ct:eventually(fun() -> py:eval(C, "log.count('begun')") =:= {ok, 20} end),
    _ = os:cmd("kill -9 " ++ integer_to_list(py_ct:helper_pid(C))),
    [receive
         {done, Result} -> ?assertMatch({error, {crashed, #{signal := sigkill}}}, Result)
     end || _ <- lists:seq(1, 20)].

routing(Config) ->
    Default = pid_of(run(context(Config), pid, #{})),
    {ok, [C]} = py_context_router:start_pool(web, 1),
    ok = py:exec(C, ?CODE),
    ok = py:register_pool(web, {'__main__', pid}),
    Routed = pid_of(py_asgi:run('__main__', pid, #{}, <<>>)),
    ?assertEqual(pid_of(run(C, pid, #{})), Routed),
    ?assertNotEqual(Default, Routed),
    ok = py:unregister_pool({'__main__', pid}),
    ?assertEqual(Default, pid_of(py_asgi:run('__main__', pid, #{}, <<>>))),
    ?assertEqual(Routed, pid_of(py_asgi:run('__main__', pid, #{}, <<>>, #{pool => web}))),
    ok = py_context_router:stop_pool(web).

pid_of({ok, {200, [], Body}}) -> binary_to_integer(Body).

targets(_) ->
    ?assertEqual({error, {no_pool, nowhere}},
                 py_asgi:run('__main__', echo, #{}, <<>>, #{pool => nowhere})),
    {ok, C} = py_context:new(#{output => capture}),
    ok = py_context:exec(C, ?CODE, #{output => stream}),
    ?assertMatch({ok, {201, _, _}}, run(C, echo, #{})),
    ok = py_context:stop(C),
    ?assertMatch({error, {context_died, _}}, run(C, echo, #{})).

options(Config) ->
    C = context(Config),
    Run = fun(Options) -> py_asgi:run('__main__', echo, #{}, <<>>, Options) end,
    ?assertMatch({ok, _}, Run(#{context => C, timeout => infinity, errors => pair})),
    ?assertMatch({ok, _}, Run(infinity)),
    [?assertEqual({error, {invalid, Key, Value}}, Run(#{Key => Value}))
     || {Key, Value} <- [{timeout, -1}, {timeout, x}, {context, x}, {pool, <<"x">>},
                         {runner, 7}, {errors, x}, {kwargs, #{}}, {<<"timeout">>, 5}]],
    ?assertMatch({error, {invalid, _, _}}, Run(#{context => C, pool => default})),
    ?assertEqual({error, {invalid, options, []}}, Run([])).

runner(Config) ->
    C = context(Config),
    Run = fun(Runner) ->
                  Options = #{context => C, runner => Runner},
                  Scope = #{path => <<"/x/">>},
                  py_asgi:run(my_module, my_app, Scope, [<<"bo">>, <<"dy">>], Options)
          end,
    ?assertEqual({ok, {202, [{<<"my_module">>, <<"my_app">>}], <<"/x/body">>}}, Run('__main__')),
    ?assertMatch({error, {"ModuleNotFoundError", _}}, Run(<<"no_such_module">>)),
    ?assertMatch({error, {"AttributeError", _}}, Run("math")).

lifespan(Config) ->
    C = context(Config),
    [?assertEqual({ok, {200, [], <<"open">>}}, Result)
     || Result <- py_ct:parallel(20, fun(_) -> run(C, lives, #{}) end)],
    {Pid, Mon} = spawn_monitor(fun() -> exit(run(C, lives, #{path => <<"/long">>})) end),
    logged(C, <<"request">>),
    ok = py_context:stop_loop(C),
    receive
        {'DOWN', Mon, process, Pid, Result} ->
            ?assertMatch({error, {"CancelledError", _}}, Result)
    end,
    ?assertEqual({ok, [<<"lifespan.startup">>, <<"request">>, <<"request cancelled">>,
                       <<"lifespan.shutdown">>, <<"closed">>]}, py:eval(C, "log")),
    %% Another loop, another life.
    ok = py:exec(C, "log.clear()"),
    ?assertEqual({ok, {200, [], <<"open">>}}, run(C, lives, #{})),
    ?assertEqual({ok, [<<"lifespan.startup">>]}, py:eval(C, "log")).

lifespan_fails(Config) ->
    C = context(Config),
    Failed = {error, {"RuntimeError", "the ASGI application failed to start: no disk"}},
    ?assertEqual(Failed, run(C, refuses, #{})),
    ?assertEqual(Failed, run(C, refuses, #{})).

lifespan_is_slow_to_end(Config) ->
    C = context(Config),
    ?assertMatch({ok, {200, _, _}}, run(C, dies_late, #{})),
    ok = py_context:stop_loop(C, 100),
    ?assertEqual({ok, [<<"never mind">>]}, py:eval(C, "log")),
    ?assertMatch({ok, {200, _, _}}, run(C, dies_late, #{})).

%% However the helper ends, as long as it is not killed.
lifespan_ends_with_its_helper(Config) ->
    File = filename:join(proplists:get_value(priv_dir, Config), "ended"),
    Code = ["async def writes(scope, receive, send):\n"
            "    if scope['type'] == 'http': return await answer(send, b'')\n"
            "    await receive()\n"
            "    await send({'type': 'lifespan.startup.complete'})\n"
            "    await receive()\n"
            "    with open(closing, 'a') as file: file.write('x')\n"
            "    await send({'type': 'lifespan.shutdown.complete'})\n",
            "closing = ", io_lib:format("~p", [File]), "\n"],
    {ok, C} = py_context:new(#{}),
    ok = py:exec(C, [?CODE, Code]),
    ?assertMatch({ok, {200, _, _}}, run(C, writes, #{})),
    ok = py_context:renew(C),
    py_ct:eventually(fun() -> file:read_file(File) =:= {ok, <<"x">>} end),
    ok = py:exec(C, [?CODE, Code]),
    ?assertMatch({ok, {200, _, _}}, run(C, writes, #{})),
    ok = py_context:stop(C),
    py_ct:eventually(fun() -> file:read_file(File) =:= {ok, <<"xx">>} end).

%% A request for the context that waits for the one who makes it.
in_a_callback(Config) ->
    C = context(Config),
    ok = py:register_function(ask, fun([]) ->
                                           {ok, {201, _, Body}} = run(C, echo, #{}, <<"in">>),
                                           Body
                                   end),
    ?assertEqual({ok, <<"in">>}, py:eval(C, "__import__('erlang').ask()")),
    ok = py:unregister_function(ask).

%% Nothing is left of requests, however they ended.
nothing_is_left(Config) ->
    C = context(Config),
    _ = [run(C, App, #{}) || App <- [echo, fails, sends, missing, goes_on]],
    _ = py_asgi:run('__main__', long, #{}, <<>>, #{context => C, timeout => 20}),
    py_ct:eventually(fun() ->
                             py:eval(C, "len(__import__('erlang._exchange')._exchange._going_on)")
                                 =:= {ok, 0}
                     end),
    {ok, #{stats := Stats}} = py_context:info(C),
    ?assertEqual(0, maps:get(pending, Stats, 0)).
