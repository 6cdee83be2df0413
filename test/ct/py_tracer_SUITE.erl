%% SPDX-License-Identifier: Apache-2.0
%% @doc Spans: what they say, how they nest across Python and Erlang, that their
%% number is bounded, and that nothing is recorded unless it is asked for.  And
%% events for handlers that users attach.
-module(py_tracer_SUITE).
-compile([export_all, nowarn_export_all]).
-behaviour(py_events).
-export([handle_event/4]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [a_span, nothing_unless_enabled, exceptions, decorated, coroutines, nested_in_python,
     parent_in_erlang, every_form_has_the_parent,
     coroutines_have_the_parent, streams_have_the_parent, across_callbacks, of_strangers,
     across_foreign_requests, in_threads,
     async_callbacks, the_ring_is_bounded, large_spans, erlang_spans, hostile_spans, storm,
     events_of_calls, events_of_contexts, bad_handlers, costs_nothing].

init_per_suite(Config) ->
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    ok = py_ct:start([{contexts, 1}, {max_traces, 100}]),
    ok = py:enable_tracing(),
    Config.

end_per_testcase(_, _) ->
    py_ct:stop().

traces() ->
    {ok, Spans} = py:get_traces(),
    Spans.

named(Name) ->
    [Span] = [S || #{name := N} = S <- traces(), N =:= Name],
    Span.

run(Code) ->
    py:exec(["import erlang, asyncio, threading\n", Code]).

a_span(_) ->
    Before = erlang:system_time(microsecond),
    ok = run("with erlang.Span('work', size=3, who='é') as s:\n"
             "  s.event('half', line=7)\n"
             "  s.set_attribute('done', True)\n"
             "  assert len(s.span_id) == 16 and s.parent_id is None\n"),
    After = erlang:system_time(microsecond),
    [#{name := <<"work">>, span_id := <<_:16/binary>>, parent_id := none, status := ok,
       start_time := Start, end_time := End, duration_us := Took,
       attributes := Attributes, events := [Event]} = Span] = traces(),
    ?assertEqual(9, map_size(Span)),
    ?assertEqual(#{<<"size">> => 3, <<"who">> => <<"é"/utf8>>, <<"done">> => true},
                 Attributes),
    #{name := <<"half">>, time := _, attributes := #{<<"line">> := 7}} = Event,
    ?assertEqual(Took, End - Start),
    ?assert(Start >= Before - 1000 andalso End =< After + 1000),
    ok = py:clear_traces(),
    ?assertEqual([], traces()).

nothing_unless_enabled(_) ->
    ok = py:disable_tracing(),
    ok = run("with erlang.Span('no') as s:\n  s.event('x')\n  assert s.span_id is None\n"
             "@erlang.trace()\ndef f(): return 1\nassert f() == 1\n"),
    ?assertEqual([], traces()),
    ok = py:enable_tracing(),
    ok = run("with erlang.Span('yes'): pass"),
    ?assertMatch([#{name := <<"yes">>}], traces()),
    {ok, #{enabled := true, size := 1, max := 100, dropped := 0}} = py_tracer:info().

exceptions(_) ->
    {error, {"ValueError", "no"}} = run("with erlang.Span('bad'): raise ValueError('no')"),
    #{status := error, events := [#{name := <<"exception">>, attributes := About}]} =
        named(<<"bad">>),
    ?assertEqual(#{<<"type">> => <<"ValueError">>, <<"message">> => <<"no">>}, About),
    ok = run("with erlang.Span('marked') as s: s.set_status('error')"),
    #{status := error} = named(<<"marked">>),
    {error, {"ValueError", _}} = run("with erlang.Span('s') as s: s.set_status('fine')").

decorated(_) ->
    ok = run("@erlang.trace()\ndef f(x): return x + 1\n"
             "@erlang.trace('other', kind='k')\ndef g(): raise KeyError('k')\n"
             "@erlang.trace\ndef h(): pass\n"
             "assert f(1) == 2 and f.__name__ == 'f'\nh()\n"
             "try: g()\nexcept KeyError: pass\n"),
    #{status := ok} = named(<<"__main__.f">>),
    #{status := ok} = named(<<"__main__.h">>),
    #{status := error, attributes := #{<<"kind">> := <<"k">>}} = named(<<"other">>).

%% Tasks that take turns: each has its own parent.
coroutines(_) ->
    ok = run("@erlang.trace('inner')\n"
             "async def inner(i): await asyncio.sleep(0.001); return i\n"
             "async def outer(i):\n"
             "  with erlang.Span('outer', i=i):\n"
             "    await asyncio.sleep(0.001)\n    return await inner(i)\n"
             "async def main(): return await asyncio.gather(*map(outer, range(5)))\n"
             "with erlang.Span('all'): assert asyncio.run(main()) == [0, 1, 2, 3, 4]\n"),
    All = traces(),
    Outer = [Id || #{name := <<"outer">>, span_id := Id} <- All],
    Parents = [Id || #{name := <<"inner">>, parent_id := Id} <- All],
    ?assertEqual(lists:sort(Outer), lists:sort(Parents)),
    #{span_id := Root} = named(<<"all">>),
    ?assertEqual(lists:duplicate(5, Root), [P || #{name := <<"outer">>, parent_id := P} <- All]).

nested_in_python(_) ->
    ok = run("with erlang.Span('a'):\n  with erlang.Span('b'): pass\n"
             "  with erlang.Span('c'): pass\nwith erlang.Span('d'): pass\n"),
    #{span_id := A, parent_id := none} = named(<<"a">>),
    #{parent_id := A} = named(<<"b">>),
    #{parent_id := A} = named(<<"c">>),
    #{parent_id := none} = named(<<"d">>).

parent_in_erlang(_) ->
    Id = py_tracer:with_span(<<"erlang">>, #{n => 1},
                             fun() ->
                                     ok = run("with erlang.Span('python'): pass"),
                                     py_tracer:current_span()
                             end),
    none = py_tracer:current_span(),
    #{span_id := Id, parent_id := none, attributes := #{n := 1}} = named(<<"erlang">>),
    #{parent_id := Id} = named(<<"python">>).

forms() ->
    Target = ['__main__', work, []],
    [fun() -> apply(py, call, Target) end,
     fun() -> py:eval("work()") end,
     fun() -> ok = py:exec("work()"), {ok, 1} end,
     fun() -> py:call(py:context(), '__main__', work, [], #{output => capture}) end,
     fun() -> py:await(apply(py, cast, Target)) end,
     fun() -> py:await(apply(py, spawn_call, Target)) end,
     fun() -> py:parallel([{'__main__', work, []}]) end,
     fun() -> py:async_await(apply(py, async_call, Target)) end,
     fun() -> {ok, R} = py:call(py:context(), '__main__', 'Object', [], #{return => ref}),
              py:call_method(R, work, []) end,
     fun() -> {ok, R} = py:call(py:context(), '__main__', 'Object', [], #{return => ref}),
              py:getattr(R, attribute) end].

%% However the request is made, and by whichever process.
every_form_has_the_parent(_) ->
    ok = run("@erlang.trace('work')\ndef work(): return 1\n"
             "class Object:\n"
             "  def work(self): return work()\n"
             "  attribute = property(work)\n"),
    [begin
         ok = py:clear_traces(),
         Id = py_tracer:with_span(outer, fun() ->
                                                 {ok, _} = Form(),
                                                 py_tracer:current_span()
                                         end),
         ?assertMatch(#{parent_id := Id}, named(<<"work">>))
     end || Form <- forms()],
    {ok, 1} = py:async_await(py:async_call('__main__', work, [])).

%% They run in the thread of the loop, when their request has left the line.
coroutines_have_the_parent(_) ->
    ok = run("@erlang.trace('inner')\nasync def inner(): await asyncio.sleep(0)\n"
             "@erlang.trace('work')\nasync def work():\n"
             "  await asyncio.gather(inner(), inner())\n"
             "  return 1\n"),
    Await = fun() -> {ok, 1} = py:async_await(py:async_call('__main__', work, [])) end,
    Forms = [Await,
             fun() -> {ok, [1, 1]} = py:async_gather([{'__main__', work, []} || _ <- [1, 2]]) end,
             fun() -> {ok, 1} = py_event_loop:run('__main__', work, []) end,
             fun() -> {ok, 1} = py_event_loop:await(py_event_loop:create_task('__main__', work, []))
             end,
             fun() -> {ok, 1} = py_context:submit_await(py:context(), '__main__', work, []) end],
    [begin
         ok = py:clear_traces(),
         Id = py_tracer:with_span(outer, fun() -> _ = Form(), py_tracer:current_span() end),
         Works = [S || #{name := <<"work">>} = S <- traces()],
         ?assert(Works =/= []),
         ?assertEqual([], [P || #{parent_id := P} <- Works, P =/= Id]),
         Ids = lists:sort([I || #{span_id := I} <- Works]),
         Parents = lists:usort([P || #{name := <<"inner">>, parent_id := P} <- traces()]),
         ?assertEqual(Ids, Parents)
     end || Form <- Forms],
    ok = py:clear_traces(),
    _ = Await(),
    ?assertMatch(#{parent_id := none}, named(<<"work">>)).

%% Each item is a request of its own.
streams_have_the_parent(_) ->
    ok = run("def items():\n"
             "  for i in range(3):\n"
             "    with erlang.Span('item'): pass\n"
             "    yield i\n"
             "async def aitems():\n"
             "  for i in range(3):\n"
             "    with erlang.Span('item'): await asyncio.sleep(0)\n"
             "    yield i\n"),
    Forms = [fun(F) -> {ok, [0, 1, 2]} = py:stream('__main__', F, []) end,
             fun(F) -> {ok, [0, 1, 2]} = py:stream_eval([atom_to_list(F), "()"]) end,
             fun(F) -> {ok, Ref} = py:stream_start('__main__', F, []), until_done(Ref) end],
    [begin
         ok = py:clear_traces(),
         Id = py_tracer:with_span(outer, fun() -> _ = Form(F), py_tracer:current_span() end),
         Parents = [P || #{name := <<"item">>, parent_id := P} <- traces()],
         ?assertEqual([Id, Id, Id], Parents)
     end || Form <- Forms, F <- [items, aitems]].

until_done(Ref) ->
    receive
        {py_stream, Ref, done} -> ok;
        {py_stream, Ref, {data, _}} -> until_done(Ref)
    end.

across_callbacks(_) ->
    Fun = fun([], Kwargs) ->
                  ok = py:exec("with erlang.Span('nested'): pass"),
                  py_tracer:with_span("between", fun() ->
                                                         py:exec("with erlang.Span('in'): pass")
                                                 end),
                  Kwargs
          end,
    ok = py:register_function(again, Fun),
    ok = run("with erlang.Span('outer'):\n  assert erlang.again(k=1) == {'k': 1}\n"
             "  with erlang.Span('after'): pass\n"),
    #{span_id := Outer} = named(<<"outer">>),
    #{parent_id := Outer} = named(<<"nested">>),
    #{parent_id := Outer, span_id := Between} = named(<<"between">>),
    #{parent_id := Between} = named(<<"in">>),
    #{parent_id := Outer} = named(<<"after">>),
    none = py_tracer:current_span(),
    ok = py:register_function(fails, fun([]) -> error(why) end),
    {error, {"ErlangError", _}} = run("with erlang.Span('x'): erlang.fails()"),
    {error, {"NameError", _}} = run("with erlang.Span('x'): erlang.not_there()"),
    none = py_tracer:current_span().

%% Somebody else's request that runs while a span waits is not within it.
across_foreign_requests(_) ->
    Fun = fun([]) ->
                  [ok] = py_ct:parallel(1, fun(_) ->
                                                   py:exec("with erlang.Span('foreign'): pass")
                                           end),
                  ok
          end,
    ok = py:register_function(other, Fun),
    ok = run("with erlang.Span('mine'): erlang.other()"),
    #{parent_id := none} = named(<<"foreign">>),
    #{parent_id := none} = named(<<"mine">>).

in_threads(_) ->
    ok = run("import contextvars\n"
             "def work(name):\n  with erlang.Span(name): pass\n"
             "with erlang.Span('root'):\n"
             "  c = contextvars.copy_context()\n"
             "  ts = [threading.Thread(target=work, args=('apart',)),"
             "        threading.Thread(target=c.run, args=(work, 'within'))]\n"
             "  for t in ts: t.start()\n"
             "  for t in ts: t.join()\n"),
    #{span_id := Root} = named(<<"root">>),
    #{parent_id := none} = named(<<"apart">>),
    #{parent_id := Root} = named(<<"within">>).

async_callbacks(_) ->
    Self = self(),
    ok = py:register_function(where, fun([]) -> Self ! {span, py_tracer:current_span()}, ok end),
    ok = run("async def main():\n"
             "  with erlang.Span('s'): await erlang.async_call('where')\n"
             "asyncio.run(main())\n"),
    #{span_id := Id} = named(<<"s">>),
    receive {span, Id} -> ok after 10000 -> ct:fail(no_span) end.

the_ring_is_bounded(_) ->
    ok = run("for i in range(250):\n  with erlang.Span(f's{i}'): pass\n"),
    All = traces(),
    ?assertEqual([<<"s", (integer_to_binary(I))/binary>> || I <- lists:seq(150, 249)],
                 [Name || #{name := Name} <- All]),
    {ok, #{size := 100, dropped := 150}} = py_tracer:info(),
    ok = py:clear_traces(),
    {ok, #{size := 0, dropped := 0}} = py_tracer:info().

%% One tree of many spans is handed over in parts; one large span is cut.
large_spans(_) ->
    ok = run("with erlang.Span('root'):\n"
             "  for i in range(70):\n    with erlang.Span('child'): pass\n"),
    ?assertEqual(71, length(traces())),
    ok = run("with erlang.Span('big') as s:\n"
             "  for i in range(1000):\n"
             "    s.event('e' * 10, text='x' * 100000)\n"
             "    s.set_attribute(f'a{i}', object())\n"),
    #{attributes := #{<<"cut">> := true}, events := []} = named(<<"big">>),
    ok = run("with erlang.Span('odd', n=1 << 4000, o=[1], f=float('inf')): pass"),
    #{attributes := #{<<"o">> := <<"[1]">>, <<"n">> := <<"int">>}} = named(<<"odd">>).

erlang_spans(_) ->
    ?assertError(why, py_tracer:with_span(bad, fun() -> error(why) end)),
    #{status := error, events := [_]} = named(<<"bad">>),
    ok = py:disable_tracing(),
    3 = py_tracer:with_span(off, fun() -> 3 end),
    [?assertError({invalid, name, Name}, py_tracer:with_span(Name, fun() -> 3 end))
     || Switch <- [enable_tracing, disable_tracing], ok <- [py:Switch()], Name <- [<<>>, 3]],
    ?assertEqual(1, length(traces())).

%% They may not ask who calls them, nor tell of spans; but what they do goes on.
of_strangers(_) ->
    {ok, C} = py_context:new(#{policy => default}),
    ok = py_context:exec(C, "import erlang\n"
                            "with erlang.Span('theirs'): pass\n"
                            "@erlang.trace()\n"
                            "async def f(x): return x"),
    ?assertEqual({ok, 7}, py_context:submit_await(C, '__main__', f, [7])),
    ?assertEqual([], traces()),
    ok = py_context:stop(C).

%% What a helper says is not believed.
hostile_spans(_) ->
    Bad = ["None", "[None]", "[{}]", "[{'name': 'x'}]"],
    [{error, {"ErlangError", _}} =
         run(["import _erlang\n_erlang.call(('trace', 'spans'), (", B, ",), {})"]) || B <- Bad],
    ?assertEqual([], traces()).

storm(_) ->
    ok = py:register_function(echo, fun([X]) -> X end),
    %% A function: the names of the namespace are everybody's.
    ok = run("def spans():\n"
             "  for i in range(20):\n"
             "    with erlang.Span('a'):\n"
             "      with erlang.Span('b'): assert erlang.echo(i) == i\n"),
    Run = fun() -> {ok, none} = py:call('__main__', spans, []) end,
    All = py_ct:parallel(8, fun(_) -> [Run() || _ <- lists:seq(1, 5)], ok end),
    ?assertEqual(lists:duplicate(8, ok), All),
    {ok, #{size := 100, dropped := 1500}} = py_tracer:info(),
    Spans = traces(),
    Ids = [Id || #{name := <<"a">>, span_id := Id} <- Spans],
    Parents = [Id || #{name := <<"b">>, parent_id := Id} <- Spans],
    ?assert(length(Parents -- Ids) =< 8).

%%% Events

handle_event(Name, Measurements, Meta, {To, What}) ->
    To ! {event, Name, Measurements, Meta},
    What =:= fail andalso error(broken).

event() ->
    receive {event, Name, M, Meta} -> {Name, M, Meta} after 10000 -> ct:fail(no_event) end.

events_of_calls(_) ->
    C = py:context(),
    Names = [[terrarium, call, What] || What <- [start, stop, exception]],
    ok = py_events:attach(?MODULE, Names, ?MODULE, {self(), ok}),
    {error, already_exists} = py_events:attach(?MODULE, Names, ?MODULE, {self(), ok}),
    {ok, 4.0} = py:call(math, sqrt, [16]),
    {[terrarium, call, start], #{system_time := _},
     #{context := C, kind := call, what := <<"math:sqrt/1">>}} = event(),
    {[terrarium, call, stop], #{duration := D}, #{what := <<"math:sqrt/1">>}} = event(),
    ?assert(D > 0),
    {error, {"ZeroDivisionError", _}} = py:eval("1/0"),
    {[terrarium, call, start], _, #{kind := eval, what := <<"1/0">>}} = event(),
    {[terrarium, call, exception], _, #{reason := {"ZeroDivisionError", _}}} = event(),
    {ok, Ref} = py:call(C, builtins, list, [], #{return => ref}),
    _ = [event(), event()],
    {ok, none} = py:call_method(Ref, append, [1]),
    {_, _, #{kind := method, what := <<"append/1">>}} = event(),
    _ = event(),
    %% What begins also ends, if only because nobody is left to hear of it.
    {_, Mon} = spawn_monitor(fun() -> py:cast(C, time, sleep, [60]) end),
    receive {'DOWN', Mon, process, _, normal} -> ok end,
    {[terrarium, call, start], _, #{what := <<"time:sleep/1">>}} = event(),
    {[terrarium, call, exception], _, #{reason := owner_died}} = event(),
    [{?MODULE, Names, ?MODULE, _}] = py_events:attached(),
    ok = py_events:detach(?MODULE),
    {error, not_found} = py_events:detach(?MODULE),
    {ok, 4.0} = py:call(math, sqrt, [16]),
    [] = py_ct:mailbox().

events_of_contexts(_) ->
    {ok, 1} = py:eval("1"),
    Names = [[terrarium, context, What] || What <- [start, restart, crash]],
    ok = py_events:attach(?MODULE, Names, ?MODULE, {self(), ok}),
    {ok, C} = py_context:new(#{}),
    {[terrarium, context, start], #{generation := 1}, #{context := C, os_pid := Os}} = event(),
    {error, {crashed, _}} = py:call(C, os, '_exit', [3]),
    {[terrarium, context, crash], #{generation := 1},
     #{context := C, os_pid := Os, reason := {crashed, #{exit_status := 3}}}} = event(),
    {[terrarium, context, restart], #{generation := 2}, #{context := C}} = event(),
    ok = py_context:stop(C),
    ok = py_events:detach(?MODULE).

bad_handlers(_) ->
    Start = [terrarium, call, start],
    ok = py_events:attach(one, [Start], ?MODULE, {self(), fail}),
    {ok, 1} = py:eval("1"),
    {Start, _, _} = event(),
    py_ct:eventually(fun() -> py_events:attached() =:= [] end),
    {ok, 1} = py:eval("1"),
    [] = py_ct:mailbox(),
    {error, {invalid, event, [no]}} = py_events:attach(two, [[no]], ?MODULE, x),
    {error, {invalid, events, no}} = py_events:attach(two, no, ?MODULE, x),
    {error, {invalid, events, _}} = py_events:attach(two, [Start | no], ?MODULE, x),
    {error, {invalid, module, "m"}} = py_events:attach(two, [Start], "m", x).

%% Nothing attached, nothing recorded: a request has no flag, and nobody is asked.
costs_nothing(_) ->
    ok = py:disable_tracing(),
    ?assertEqual(off, py_events:mode()),
    ok = run("f = erlang.trace()(lambda: 1)"),
    {ok, #{stats := #{callbacks := Before}}} = py_context:info(py:context()),
    {ok, _} = py:eval("[f() for _ in range(1000)]"),
    {ok, #{stats := #{callbacks := Before}}} = py_context:info(py:context()),
    ok = py_events:attach(only, [[terrarium, context, crash]], ?MODULE, {self(), ok}),
    ?assertEqual(off, py_events:mode()).
