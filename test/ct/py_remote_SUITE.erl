%% SPDX-License-Identifier: Apache-2.0
%% @doc Contexts of other nodes, used by the same calls.
-module(py_remote_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [calls, evals_and_statements, casts, coroutines, bad_arguments, exceptions, last_error,
     terms, large_values, own_context_stays_near, callbacks, functions_of_the_other_node,
     callbacks_that_fail, callback_knows_its_request, nested_deeply, nested_over_nodes,
     functions_of_there_call_back, self_is_the_caller, what_python_makes, printing, capture,
     namespaces, spans, timeouts, timeout_in_a_function, timeout_of_a_cast, caller_killed,
     callback_in_a_killed_caller, many_callers, many_unread, rights,
     pause_of_the_network].

init_per_suite(Config) ->
    Before = py_peers:begin_node(),
    ok = py_ct:start([{contexts, 1}]),
    Peer = py_peers:start(),
    [{before, Before}, {peer, Peer}, {context, context(Peer)} | Config].

end_per_suite(Config) ->
    ok = py_peers:stop(peer(Config)),
    ok = py_ct:stop(),
    py_peers:end_node(proplists:get_value(before, Config)).

init_per_testcase(_, Config) ->
    ok = py:exec(there(Config), "import erlang, time, os"),
    Config.

end_per_testcase(_, Config) ->
    ?assertEqual([], py_ct:mailbox()),
    ?assertEqual({monitors, []}, process_info(self(), monitors)),
    [py:unregister_function(Name) || Name <- py_callback:registered()],
    nothing_runs(peer(Config)).

%%% What the cases share

peer(Config) -> proplists:get_value(peer, Config).
there(Config) -> proplists:get_value(context, Config).
node_of(Config) -> maps:get(node, peer(Config)).

context(Peer) ->
    Context = py_peers:call(Peer, py, context, [1]),
    ?assertNotEqual(node(), node(Context)),
    Context.

%% No process works for another node any more.
nothing_runs(Peer) ->
    py_ct:eventually(fun() -> py_peers:call(Peer, ?MODULE, runners, []) =:= [] end),
    py_ct:eventually(fun() -> runners() =:= [] end).

%% Runs on either node.
runners() ->
    [P || P <- processes(), works_for_another(process_info(P, [initial_call, current_function]))].

works_for_another([{_, {M1, _, _}}, {_, {M2, _, _}}]) ->
    M1 =:= py_remote_runner orelse M2 =:= py_remote_runner;
works_for_another(_) ->
    false.

%% Wait until Python there says that it runs: by a message.
told(Tag) ->
    receive
        {py_ct, Tag} -> ok
    after 60000 -> ct:fail({not_told, Tag})
    end.

%% An expression that tells this process that it runs, then does not end by itself.
stuck(Tag) ->
    {"erlang.send(pid, (erlang.atom('py_ct'), erlang.atom(tag))) or time.sleep(3600)",
     #{pid => self(), tag => atom_to_binary(Tag)}}.

%% Run this in another process; what it makes of it comes as a message.
aside(Fun) ->
    Self = self(),
    spawn_monitor(fun() -> Self ! {aside, self(), Fun()} end).

result({Pid, Mon}) ->
    receive
        {aside, Pid, Result} ->
            true = erlang:demonitor(Mon, [flush]),
            Result;
        {'DOWN', Mon, process, _, Reason} -> {died, Reason}
    after 60000 -> ct:fail({no_result, process_info(Pid, [current_stacktrace, messages])})
    end.

%%% Forms

calls(Config) ->
    C = there(Config),
    ?assertEqual({ok, 4.0}, py:call(C, math, sqrt, [16])),
    ?assertEqual({ok, 255}, py:call(C, builtins, int, [<<"ff">>], #{kwargs => #{base => 16}})),
    ?assertEqual({ok, 4.0}, py:call(C, math, sqrt, [16], 5000)),
    ?assertEqual({ok, 4.0}, py:call(C, "math", <<"sqrt">>, [16], #{timeout => infinity})),
    ?assertEqual({ok, 4.0}, py_context:call(C, math, sqrt, [16])),
    ?assertEqual({ok, 255}, py_context:call(C, builtins, int, [<<"ff">>], #{base => 16})),
    ?assertEqual({ok, 255}, py_context:call(C, builtins, int, [<<"ff">>], #{base => 16}, 5000)),
    {ok, Here} = py:eval("__import__('os').getpid()"),
    {ok, There} = py:call(C, os, getpid, []),
    ?assertNotEqual(Here, There).

evals_and_statements(Config) ->
    C = there(Config),
    ?assertEqual({ok, 3}, py:eval(C, "1 + 2")),
    ?assertEqual({ok, 3}, py:eval(C, "a + b", #{a => 1, b => 2})),
    ?assertEqual({ok, 3}, py_context:eval(C, "a + b", #{a => 1, b => 2}, 5000)),
    ?assertEqual(ok, py:exec(C, "x = 5")),
    ?assertEqual(ok, py:exec(C, "x += 1", #{timeout => 5000})),
    ?assertEqual(ok, py_context:exec(C, "def twice(n): return 2 * n")),
    ?assertEqual({ok, 12}, py:call(C, '__main__', twice, [6])),
    ?assertEqual({ok, 6}, py:eval(C, "x")).

casts(Config) ->
    C = there(Config),
    ok = py:exec(C, "seen = []\ndef note(n):\n  seen.append(n)\n  return n"),
    N = 200,
    Casts = [py:cast(C, '__main__', note, [I]) || I <- lists:seq(1, N)],
    ?assertEqual([{ok, I} || I <- lists:seq(1, N)], [py:await(R) || R <- Casts]),
    ?assertEqual({ok, lists:seq(1, N)}, py:eval(C, "seen")),
    Ref = py:spawn_call(C, math, sqrt, [16], #{timeout => 5000}),
    ?assertEqual({py_response, Ref, {ok, 4.0}}, receive M -> M after 60000 -> none end),
    _ = py:cast(C, '__main__', note, [0], #{reply => false}),
    py_ct:eventually(fun() -> py:eval(C, "seen[-1]") =:= {ok, 0} end).

coroutines(Config) ->
    C = there(Config),
    ok = py:exec(C, "import asyncio\nasync def add(a, b):\n"
                    "  await asyncio.sleep(0)\n  return a + b"),
    ?assertEqual({ok, 3}, py:async_await(py:async_call(C, '__main__', add, [1, 2]))),
    ?assertEqual({ok, [3, 7]}, py:async_gather(C, [{'__main__', add, [1, 2]},
                                                   {'__main__', add, [3, 4]}])),
    ?assertEqual({ok, 3}, py_event_loop:run(C, '__main__', add, [1, 2])),
    ?assertEqual({ok, 3}, py_context:submit_await(C, '__main__', add, [1, 2])),
    Ref = py_event_loop:create_task(C, asyncio, sleep, [3600], infinity),
    ?assertEqual({error, timeout}, py_event_loop:await(Ref, 50)),
    ok = py_context:stop_loop(C),
    ok = py_context:start_loop(C).

bad_arguments(Config) ->
    C = there(Config),
    ?assertEqual({error, {invalid, module, 1}}, py:call(C, 1, sqrt, [16])),
    ?assertEqual({error, {invalid, colour, red}}, py:call(C, math, sqrt, [1], #{colour => red})),
    ?assertEqual({error, {invalid, code, 1}}, py:eval(C, 1)),
    Dead = erpc:call(node_of(Config), erlang, spawn, [erlang, self, []]),
    ?assertEqual({error, {context_died, noproc}}, py:call(Dead, math, sqrt, [16])).

exceptions(Config) ->
    C = there(Config),
    ?assertEqual({error, {"ValueError", "math domain error"}}, py:call(C, math, sqrt, [-1])),
    {error, #{type := <<"ValueError">>, traceback := Text}} =
        py:call(C, math, sqrt, [-1], #{errors => map}),
    ?assert(is_binary(Text)),
    ?assertEqual({error, {"ValueError", "math domain error"}},
                 py:await(py:cast(C, math, sqrt, [-1]))),
    {error, {"SystemExit", _}} = py:eval(C, "exit(3)"),
    {error, {unknown_atom, _}} =
        py:eval(C, "erlang.atom('no atom of this name ' + 'is on either node')").

last_error(Config) ->
    C = there(Config),
    _ = py:exec(C, "def fails():\n  raise KeyError('k')"),
    {error, _} = py:call(C, '__main__', fails, []),
    #{type := <<"KeyError">>, frames := [#{function := <<"fails">>}]} = py:last_error(),
    {ok, 1} = py:eval(C, "1"),
    #{type := <<"KeyError">>} = py:last_error(),
    {error, _} = py:await(py:cast(C, math, sqrt, [-1])),
    #{type := <<"ValueError">>} = py:last_error().

%%% Values

terms(Config) ->
    C = there(Config),
    Port = hd(erlang:ports()),
    Terms = [0, -1, 1 bsl 100, 1.5, atom, true, none, <<>>, <<"text">>, <<1:3>>, "list", [],
             [a | b], {}, {1, {2}}, #{}, #{1 => #{<<"k">> => [x]}}, self(), make_ref(), Port,
             fun erlang:self/0, erpc:call(node_of(Config), erlang, self, []),
             erpc:call(node_of(Config), erlang, make_ref, []), {bytes, <<255>>}],
    ok = py:exec(C, "def echo(x): return x"),
    [?assertEqual({ok, back(T)}, py:call(C, '__main__', echo, [T])) || T <- Terms].

%% What `bytes' become again.
back({bytes, Data}) -> Data;
back(Term) -> Term.

large_values(Config) ->
    C = there(Config),
    Large = bytes(10 * 1024 * 1024),
    ok = py:exec(C, "def echo(x): return x"),
    {ok, Back} = py:call(C, '__main__', echo, [{bytes, Large}]),
    ?assert(Back =:= Large),
    ok = py:register_function(large, fun([B]) -> {bytes, <<B/binary, 1>>} end),
    {ok, N} = py:eval(C, "len(erlang.large(b))", #{b => {bytes, Large}}),
    ?assertEqual(byte_size(Large) + 1, N).

bytes(Size) ->
    Part = term_to_binary(make_ref()),
    binary:part(binary:copy(Part, Size div byte_size(Part) + 1), 0, Size).

own_context_stays_near(Config) ->
    Near = py:context(1),
    [?assertEqual(ok, py:exec(C, "where = '" ++ Where ++ "'"))
     || {C, Where} <- [{Near, "here"}, {there(Config), "there"}]],
    ?assertEqual([{ok, <<"here">>}, {ok, <<"there">>}, {ok, <<"here">>}],
                 [py:eval(C, "where") || C <- [Near, there(Config), Near]]).

%%% Functions

callbacks(Config) ->
    C = there(Config),
    Self = self(),
    ok = py:register_function(f, fun([X], Kw) -> put(seen, X), {self(), node(), X, Kw} end),
    ?assertEqual({ok, {Self, node(), 1, #{<<"k">> => 2}}}, py:eval(C, "erlang.f(1, k=2)")),
    ?assertEqual(1, erase(seen)),
    ok = py:register_function(g, fun([N]) -> -N end),
    ?assertEqual({ok, -6}, py:await(py:cast(C, erlang, call, [<<"g">>, 6]))),
    ?assertEqual({ok, [-1, -2, -3]}, py:eval(C, "[erlang.g(n) for n in (1, 2, 3)]")).

functions_of_the_other_node(Config) ->
    C = there(Config),
    ok = py_peers:call(peer(Config), py, register_function, [theirs, ?MODULE, where]),
    ok = py_peers:call(peer(Config), py, register_function, [both, ?MODULE, where]),
    ok = py:register_function(both, ?MODULE, where),
    {ok, Runner} = py:eval(C, "erlang.theirs()"),
    ?assertEqual(node_of(Config), node(Runner)),
    ?assertEqual({ok, self()}, py:eval(C, "erlang.both()")),
    {error, {"NameError", _}} = py:eval(C, "erlang.call('nobodys')"),
    [ok = py_peers:call(peer(Config), py, unregister_function, [N]) || N <- [theirs, both]].

where([]) -> self().

callbacks_that_fail(Config) ->
    C = there(Config),
    ok = py:exec(C, "def caught(*args):\n  try:\n    erlang.fails(*args)\n"
                    "  except erlang.ErlangError as e:\n    return e.kind, e.reason"),
    ok = py:register_function(fails, fun([throw]) -> throw(ball); ([exit]) -> exit(gone) end),
    ?assertEqual({ok, {<<"throw">>, ball}}, py:call(C, '__main__', caught, [throw])),
    ?assertEqual({ok, {<<"exit">>, gone}}, py:call(C, '__main__', caught, [exit])),
    ?assertEqual({ok, {<<"error">>, function_clause}}, py:call(C, '__main__', caught, [other])),
    {error, {"ErlangError", Text}} = py:eval(C, "erlang.fails(erlang.atom('throw'))"),
    ?assertNotEqual(nomatch, string:find(Text, "ball")).

callback_knows_its_request(Config) ->
    C = there(Config),
    ok = py:register_function(f, fun([]) -> {py_callback:context(),
                                             py_request:left(py_callback:deadline()),
                                             py_callback:in_request()} end),
    {ok, {C, Left, true}} = py:eval(C, "erlang.f()", #{}),
    ?assertEqual(infinity, Left),
    {ok, {C, Less, true}} = py_context:eval(C, "erlang.f()", #{}, 50000),
    ?assert(Less =< 50000),
    ?assertEqual(undefined, py_callback:context()).

nested_deeply(Config) ->
    C = there(Config),
    Down = fun([0]) -> 0;
              ([N]) -> {ok, V} = py:eval(C, "erlang.down(n - 1) + 1", #{n => N}), V
           end,
    ok = py:register_function(down, Down),
    ?assertEqual({ok, 50}, py:eval(C, "erlang.down(50)")),
    ?assertEqual({ok, 50}, py:await(py:cast(C, erlang, call, [<<"down">>, 50]))).

%% Through this node's context and the other's in turn.
nested_over_nodes(Config) ->
    C = there(Config),
    Near = py:context(1),
    ok = py:exec(Near, "import erlang"),
    Down = fun([0]) -> 0;
              ([N]) ->
                   Next = case N rem 2 of 0 -> Near; 1 -> C end,
                   {ok, V} = py:eval(Next, "erlang.down(n - 1) + 1", #{n => N}),
                   V
           end,
    ok = py:register_function(down, Down),
    ?assertEqual({ok, 12}, py:eval(C, "erlang.down(12)")),
    ?assertEqual({ok, 12}, py:eval(Near, "erlang.down(12)")).

%% A function of that node asks a context of this one, whose Python calls a function
%% of this one, which asks both.
functions_of_there_call_back(Config) ->
    C = there(Config),
    Near = py:context(1),
    ok = py:exec(Near, "import erlang"),
    ok = py_peers:call(peer(Config), py, register_function, [theirs, ?MODULE, ask]),
    {ok, Object} = py:call(Near, builtins, list, [[2]], #{return => ref}),
    ok = py:register_function(mine, fun([]) -> {ok, A} = py:eval(C, "1"),
                                               {ok, B} = py:eval(Near, "2"),
                                               {ok, [2]} = py:to_term(Object),
                                               {self(), A + B}
                                    end),
    ?assertEqual({ok, {self(), 3}}, py_context:eval(C, "erlang.theirs(c)", #{c => Near}, 20000)),
    ok = py_peers:call(peer(Config), py, unregister_function, [theirs]).

ask([Context]) ->
    {ok, Value} = py:eval(Context, "erlang.mine()"),
    Value.

self_is_the_caller(Config) ->
    C = there(Config),
    ?assertEqual({ok, self()}, py:eval(C, "erlang.self()")),
    {ok, _} = py:eval(C, "erlang.send(erlang.self(), 7)"),
    ?assertEqual(7, receive M -> M after 60000 -> none end),
    ok = py:register_function(again, fun([]) -> {ok, P} = py:eval(C, "erlang.self()"), P end),
    ?assertEqual({ok, self()}, py:eval(C, "erlang.again()")).

%% What is made in a request lasts as long as its caller.
what_python_makes(Config) ->
    C = there(Config),
    ok = py:exec(C, "ch = erlang.Channel()\nch.send(5)\nd = erlang.SharedDict()\nd['k'] = 6\n"
                    "erlang.state_set('of', 'there')"),
    ?assertEqual({ok, 5}, py:eval(C, "ch.receive()")),
    ?assertEqual({ok, 6}, py:eval(C, "d['k']")),
    ?assertEqual({error, not_found}, py:state_fetch(<<"of">>)),
    ?assertEqual({ok, <<"there">>}, erpc:call(node_of(Config), py, state_fetch, [<<"of">>])),
    ok = py:exec(C, "d.destroy()\nch.close()").

printing(Config) ->
    C = there(Config),
    {Leader, Text} = leader(),
    Before = group_leader(),
    true = group_leader(Leader, self()),
    ok = py:exec(C, "print('out', 1)"),
    true = group_leader(Before, self()),
    ?assertEqual(<<"out 1\n">>, Text()).

%% A group leader that keeps what is printed, and a fun that takes it.
leader() ->
    Leader = spawn_link(fun() -> keep(<<>>) end),
    {Leader, fun() ->
                     Leader ! {take, self()},
                     receive {taken, Text} -> Text after 60000 -> nothing end
             end}.

keep(Text) ->
    receive
        {io_request, From, Ref, {put_chars, unicode, More}} ->
            From ! {io_reply, Ref, ok},
            keep(<<Text/binary, (unicode:characters_to_binary(More))/binary>>);
        {take, From} ->
            From ! {taken, Text}
    end.

capture(Config) ->
    C = there(Config),
    ?assertEqual({ok, #{value => none, stdout => <<"x\n">>, stderr => <<>>}},
                 py:call(C, builtins, print, [<<"x">>], #{output => capture})),
    ok = py:register_function(f, fun([]) -> {ok, R} = py:call(C, builtins, print, [<<"y">>],
                                                              #{output => capture}), R end),
    ok = py:exec(C, "def both():\n  print('a')\n  r = erlang.f()\n  print('b')\n  return r"),
    {ok, #{value := #{stdout := <<"y\n">>}, stdout := <<"a\nb\n">>}} =
        py:call(C, '__main__', both, [], #{output => capture}),
    {error, {"ValueError", _}} = py_context:exec(C, "print('before')\nraise ValueError",
                                                 #{output => capture}),
    #{stdout := <<"before\n">>} = py:last_error().

namespaces(Config) ->
    C = start_context(Config, #{namespace => process}),
    ok = py:exec(C, "x = 1"),
    ?assertEqual({ok, 1}, py:eval(C, "x")),
    ?assertMatch({error, {"NameError", _}}, result(aside(fun() -> py:eval(C, "x") end))),
    ok = py:exec(C, "def get(): return x"),
    ?assertEqual({ok, 1}, py:call(C, '__main__', get, [])),
    ?assertEqual({ok, 1}, py:await(py:cast(C, '__main__', get, []))),
    ok = py:register_function(f, fun([]) -> {ok, V} = py:eval(C, "x"), V end),
    ok = py:exec(C, "import erlang"),
    ?assertEqual({ok, 1}, py:eval(C, "erlang.f()")),
    ok = erpc:call(node_of(Config), py_context, stop, [C]).

%% A context on the peer that belongs to nobody.
start_context(Config, Options) ->
    py_peers:call(peer(Config), ?MODULE, context_of_its_own, [Options]).

context_of_its_own(Options) ->
    Self = self(),
    _ = spawn(fun() ->
                      {ok, Context} = py_context:new(Options),
                      Self ! {started, Context},
                      Mon = erlang:monitor(process, Context),
                      receive {'DOWN', Mon, process, _, _} -> ok end
              end),
    receive {started, Context} -> Context end.

%% The span that this process is in is the parent of those in Python there; each node
%% keeps them if it wants to.
spans(Config) ->
    [spans(Config, Here, There) || {Here, There} <- [{true, true}, {true, false}, {false, true}]].

spans(Config, RecordHere, RecordThere) ->
    C = there(Config),
    _ = RecordHere andalso py_tracer:enable(),
    _ = RecordThere andalso py_peers:call(peer(Config), py_tracer, enable, []),
    ok = py:exec(C, "def work():\n  with erlang.Span('inner'):\n    return erlang.f()"),
    ok = py:register_function(f, fun([]) -> py_tracer:current_span() end),
    {Outer, Seen} = py_tracer:with_span(outer, fun() ->
                                                       {ok, S} = py:call(C, '__main__', work, []),
                                                       {py_tracer:current_span(), S}
                                               end),
    {ok, Here} = py_tracer:get_traces(),
    {ok, There} = py_peers:call(peer(Config), py_tracer, get_traces, []),
    ?assertEqual([Seen || RecordHere], inner(Outer, Here)),
    ?assertEqual([Seen || RecordThere], inner(Outer, There)),
    ?assertEqual(none, py_tracer:current_span()),
    [ok = py_peers:call(peer(Config), py_tracer, F, []) || F <- [disable, clear]],
    [ok = py_tracer:F() || F <- [disable, clear]].

inner(Outer, Spans) ->
    [Id || #{name := <<"inner">>, parent_id := Parent, span_id := Id} <- Spans, Parent =:= Outer].

%%% Time

timeouts(Config) ->
    C = there(Config),
    ?assertEqual({error, timeout}, py_context:eval(C, py_ct:stuck(), #{}, 50)),
    #{type := <<"KeyboardInterrupt">>} = py:last_error(),
    ?assertEqual({error, timeout}, py:call(C, time, sleep, [3600], 50)),
    ?assertEqual({ok, 4.0}, py:call(C, math, sqrt, [16], 16#ffffffff)),
    ok = py:register_function(id, fun([X]) -> X end),
    ?assertEqual({ok, 1}, py_context:eval(C, "erlang.id(1)", #{}, 16#ffffffff)),
    ?assertEqual({error, timeout}, py:call(C, time, sleep, [3600], 0)),
    ?assertEqual({ok, 4.0}, py:call(C, math, sqrt, [16])).

%% The function ends first, then the request is over.
timeout_in_a_function(Config) ->
    C = there(Config),
    ok = py:register_function(slow, fun([]) -> timer:sleep(200), put(ended, true) end),
    ?assertEqual({error, timeout}, py_context:eval(C, "erlang.slow()", #{}, 50)),
    ?assertEqual(true, erase(ended)),
    ?assertEqual({ok, 1}, py:eval(C, "1")).

timeout_of_a_cast(Config) ->
    C = there(Config),
    {Code, Locals} = stuck(cast),
    ok = py:exec(C, ["def stuck(pid, tag): ", Code]),
    Ref = py:cast(C, '__main__', stuck, [], #{kwargs => Locals}),
    told(cast),
    ?assertEqual({error, timeout}, py:await(Ref, 10)),
    ?assertEqual({ok, 1}, py:eval(C, "1")).

%%% Ends

caller_killed(Config) ->
    C = there(Config),
    {Code, Locals} = stuck(running),
    {Pid, Mon} = aside(fun() -> py:eval(C, Code, Locals) end),
    told(running),
    exit(Pid, kill),
    ?assertEqual({died, killed}, result({Pid, Mon})),
    ?assertEqual({ok, 1}, py:eval(C, "1")).

callback_in_a_killed_caller(Config) ->
    C = there(Config),
    Self = self(),
    ok = py:register_function(stuck, fun([]) ->
                                             Self ! {py_ct, in_function},
                                             receive after infinity -> ok end
                                     end),
    {Pid, Mon} = aside(fun() -> py:eval(C, "erlang.stuck()") end),
    told(in_function),
    exit(Pid, kill),
    ?assertEqual({died, killed}, result({Pid, Mon})),
    ?assertEqual({ok, 1}, py:eval(C, "1")).

many_callers(Config) ->
    C = there(Config),
    ok = py:register_function(id, fun([X]) -> X end),
    Results = py_ct:parallel(50, fun(N) ->
                                         [py:eval(C, "erlang.id(n)", #{n => {N, I}})
                                          || I <- lists:seq(1, 20)]
                                 end),
    ?assertEqual([[{ok, {N, I}} || I <- lists:seq(1, 20)] || N <- lists:seq(1, 50)], Results).

%% What was there before stays there, and is not looked at for each call.
many_unread(Config) ->
    C = there(Config),
    Unread = lists:seq(1, 100000),
    [self() ! N || N <- Unread],
    ok = py:register_function(id, fun([X]) -> X end),
    [?assertEqual({ok, N}, py:eval(C, "erlang.id(n)", #{n => N})) || N <- lists:seq(1, 500)],
    ?assertEqual({error, timeout}, py:call(C, time, sleep, [3600], 1)),
    ?assertEqual(Unread, [receive M -> M end || _ <- Unread]).

%% What Python may call is decided where it runs.
rights(Config) ->
    [ok = py:register_function(Name, fun([X]) -> {self(), X} end) || Name <- [may, may_not]],
    Policy = #{level => default, allow => [{call, [may]}]},
    C = start_context(Config, #{policy => Policy}),
    ok = py:exec(C, "import erlang"),
    ?assertEqual({ok, {self(), 1}}, py:eval(C, "erlang.may(1)")),
    ?assertMatch({error, {"NameError", _}}, py:eval(C, "erlang.may_not(1)")),
    ok = erpc:call(node_of(Config), py_context, stop, [C]).

%% A node that does nothing for a while is waited for, and what it did late is of nobody.
pause_of_the_network(Config) ->
    C = there(Config),
    ok = py_peers:hang(peer(Config)),
    Waiting = aside(fun() -> py:call(C, math, sqrt, [16], infinity) end),
    ?assertEqual({error, timeout}, py:call(C, math, sqrt, [16], 100)),
    ok = py_peers:go_on(peer(Config)),
    ?assertEqual({ok, 4.0}, result(Waiting)),
    ?assertEqual({ok, 5.0}, py:call(C, math, sqrt, [25])).
