%% SPDX-License-Identifier: Apache-2.0
%% @doc The options of calls, on every form that takes them: what each does, and that
%% a bad value of each is `{error, {invalid, Key, Value}}'.  The forms themselves are
%% in py_contract_SUITE.
-module(py_options_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [kwargs, timeout, return, errors, output, bad_values, timeouts, no_options,
     eval_and_exec, of_references, of_streams, of_casts].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 1}, {grace_ms, 200}]),
    [ok = py:exec(C, code()) || C <- py_context_router:contexts()],
    Config.

end_per_suite(_) ->
    py_ct:stop().

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()).

%% Each thing as a function, as a coroutine and as a generator.
code() ->
    "import asyncio, time\n"
    "def kw(*, a=1, b=2): return (a, b)\n"
    "async def akw(*, a=1, b=2): return (a, b)\n"
    "def skw(*, a=1, b=2): yield (a, b)\n"
    "def nap(): time.sleep(60)\n"
    "async def anap(): await asyncio.sleep(60)\n"
    "def snap(): time.sleep(60); yield 1\n"
    "def bad(): raise ValueError('bad')\n"
    "async def abad(): raise ValueError('bad')\n"
    "def sbad(): yield from bad()\n"
    "def say(): print('x' * 100); return 1\n"
    "async def asay(): return say()\n"
    "def ssay(): yield say()\n".

ctx() ->
    py:context(1).

%% With these options: what the function of this kind returns.
forms() ->
    [{function, Fun} || Fun <- functions()] ++ [{coroutine, Fun} || Fun <- coroutines()]
        ++ [{generator, Fun} || Fun <- generators()].

functions() ->
    [fun(F, O) -> py:call('__main__', F, [], #{}, O) end,
     fun(F, O) -> py:call(ctx(), '__main__', F, [], O) end,
     fun(F, O) -> py:call(default, '__main__', F, [], O) end,
     fun(F, O) -> py_context:call(ctx(), '__main__', F, [], #{}, O) end]
        ++ [Cast || M <- [cast, spawn_call],
                    Cast <- [fun(F, O) -> done(py:M('__main__', F, [], #{}, O)) end,
                             fun(F, O) -> done(py:M(ctx(), '__main__', F, [], O)) end,
                             fun(F, O) -> done(py:M(default, '__main__', F, [], O)) end]].

coroutines() ->
    [fun(F, O) -> done(py:async_call('__main__', F, [], #{}, O)) end,
     fun(F, O) -> done(py:async_call(ctx(), '__main__', F, [], O)) end,
     fun(F, O) -> done(py:async_call(default, '__main__', F, [], O)) end,
     fun(F, O) -> py_context:submit_await(ctx(), '__main__', F, [], #{}, O) end,
     fun(F, O) -> py_event_loop:run(ctx(), '__main__', F, [], O) end,
     fun(F, O) -> py_event_loop:await(py_event_loop:create_task(ctx(), '__main__', F, [], O),
                                      infinity) end].

generators() ->
    [fun(F, O) -> one(py:stream('__main__', F, [], #{}, O)) end,
     fun(F, O) -> one(py:stream(ctx(), '__main__', F, [], O)) end,
     fun(F, O) -> one(py:stream(default, '__main__', F, [], O)) end,
     fun(F, O) -> one(started(fun() -> py:stream_start('__main__', F, [], O) end)) end,
     fun(F, O) -> one(started(fun() -> py:stream_start(ctx(), '__main__', F, [], O) end)) end].

done(Ref) ->
    py:await(Ref, infinity).

one({ok, [Item]}) -> {ok, Item};
one(Other) -> Other.

started(Start) ->
    case Start() of
        {ok, Ref} -> items(Ref, []);
        {error, _} = Error -> Error
    end.

items(Ref, Items) ->
    receive
        {py_stream, Ref, {data, Item}} -> items(Ref, [Item | Items]);
        {py_stream, Ref, done} -> {ok, lists:reverse(Items)};
        {py_stream, Ref, {error, _} = Error} -> Error
    end.

named(function, Name) -> Name;
named(coroutine, Name) -> "a" ++ Name;
named(generator, Name) -> "s" ++ Name.

%% What all forms make of it.
results(Name, Options) ->
    results(Name, Options, [function, coroutine, generator]).

results(Name, Options, Kinds) ->
    [{N, Form(named(Kind, Name), Options)}
     || {N, {Kind, Form}} <- lists:enumerate(forms()), lists:member(Kind, Kinds)].

%%% What they do

kwargs(_) ->
    [?assertMatch({_, {ok, {9, 8}}}, R)
     || R <- results("kw", #{kwargs => #{a => 9, <<"b">> => 8}})],
    [?assertMatch({_, {ok, {1, 2}}}, R) || R <- results("kw", #{kwargs => #{}})],
    [?assertMatch({_, {error, {"TypeError", _}}}, R) || R <- results("kw", #{kwargs => #{c => 1}})].

timeout(_) ->
    [?assertEqual({N, {error, timeout}}, {N, R}) || {N, R} <- results("nap", #{timeout => 20})],
    [?assertMatch({_, {ok, {1, 2}}}, R) || T <- [60000, 16#ffffffff, infinity],
                                           R <- results("kw", #{timeout => T})].

return(_) ->
    [begin
         {ok, Ref} = R,
         ?assert(py:is_ref(Ref), N),
         ?assertEqual({ok, {1, 2}}, py:to_term(Ref))
     end || {N, R} <- results("kw", #{return => ref}, [function, coroutine])],
    [?assertMatch({_, {ok, {1, 2}}}, R) || R <- results("kw", #{return => term})].

errors(_) ->
    [?assertMatch({_, {error, #{type := <<"ValueError">>, message := <<"bad">>}}}, R)
     || R <- results("bad", #{errors => map})],
    [?assertMatch({_, {error, {"ValueError", "bad"}}}, R)
     || R <- results("bad", #{errors => pair})].

%% A coroutine's output is nobody's own, and items have none that could come with them.
output(_) ->
    Hundred = <<(binary:copy(<<"x">>, 100))/binary, "\n">>,
    [?assertEqual({N, {ok, #{value => 1, stdout => Hundred, stderr => <<>>}}}, {N, R})
     || {N, R} <- results("say", #{output => capture}, [function])],
    [begin
         {ok, #{stdout := <<"xxxxxxxxxx", Cut/binary>>}} = R,
         ?assertNotEqual(nomatch, binary:match(Cut, <<"91 more bytes">>), N)
     end || {N, R} <- results("say", #{output => capture, output_max => 10}, [function])],
    [?assertMatch({_, {ok, {1, 2}}}, R)
     || R <- results("kw", #{output => stream, output_max => 1})].

%%% What they can not be

bad() ->
    [{timeout, -1}, {timeout, x}, {timeout, 1.5}, {timeout, 16#100000000}, {kwargs, []},
     {kwargs, x}, {return, x}, {return, 1}, {errors, x}, {output, x}, {output_max, 0},
     {output_max, x}, {output_max, infinity}, {nonsense, 1}, {<<"timeout">>, 5}].

bad_values(_) ->
    [?assertEqual({N, {error, {invalid, Key, Value}}}, {N, R})
     || {Key, Value} <- bad(), {N, R} <- results("kw", #{Key => Value})],
    [?assertEqual({N, {error, {invalid, kwargs, #{1 => 2}}}}, {N, R})
     || {N, R} <- results("kw", #{kwargs => #{1 => 2}})].

%% Where a timeout stands alone.
timeouts(_) ->
    [?assertEqual({error, {invalid, timeout, Bad}}, Form(Name, Bad))
     || {Name, Some} <- [{"kw", functions()}, {"akw", coroutines()}], Form <- Some,
        Bad <- [-1, 16#100000000]],
    Ref = py:cast('__main__', kw, []),
    [?assertEqual({error, {invalid, timeout, Bad}}, py:await(Ref, Bad))
     || Bad <- [-1, x, 16#100000000]],
    ?assertEqual({ok, {1, 2}}, py:await(Ref, 60000)),
    [?assertEqual({error, {invalid, timeout, Bad}}, py:async_gather([], Bad))
     || Bad <- [-1, x, 16#100000000]].

no_options(_) ->
    [?assertEqual({N, {error, {invalid, options, Bad}}}, {N, R})
     || Bad <- [[], x, <<"x">>, 1.5],
        {N, R} <- results("kw", Bad, [function, coroutine])],
    [?assertEqual({error, {invalid, options, Bad}},
                  py:stream_start(ctx(), '__main__', skw, [], Bad)) || Bad <- [[], x, 5]].

%%% Other forms

eval_and_exec(_) ->
    Evals = [fun(Code, O) -> py:eval(Code, #{}, O) end,
             fun(Code, O) -> py_context:eval(ctx(), Code, #{}, O) end],
    Execs = [fun(Code, O) -> py:exec(ctx(), Code, O) end,
             fun(Code, O) -> py:exec(default, Code, O) end,
             fun(Code, O) -> py_context:exec(ctx(), Code, O) end],
    [?assertEqual({error, {invalid, Key, Value}}, Form("1", #{Key => Value}))
     || Form <- Evals ++ Execs, {Key, Value} <- bad()],
    [?assertEqual({error, {invalid, timeout, Bad}}, Form("1", Bad))
     || Form <- Evals ++ Execs, Bad <- [-1, 16#100000000]],
    [?assertEqual({error, {invalid, options, Bad}}, Form("1", Bad))
     || Form <- Evals ++ Execs, Bad <- [x, []]],
    [?assertEqual({error, timeout}, Form("nap()", Limit))
     || Form <- Evals ++ Execs, Limit <- [20, #{timeout => 20}]],
    [?assertMatch({error, #{type := <<"ValueError">>}}, Form("bad()", #{errors => map}))
     || Form <- Evals ++ Execs],
    [?assertEqual({error, {invalid, kwargs, #{a => 1}}}, Form("1", #{kwargs => #{a => 1}}))
     || Form <- Evals ++ Execs],
    [?assertEqual({error, {invalid, return, ref}}, Exec("1", #{return => ref})) || Exec <- Execs],
    [begin
         {ok, Ref} = Eval("[1]", #{return => ref}),
         ?assertEqual({ok, [1]}, py:to_term(Ref)),
         ?assertMatch({ok, #{value := none, stdout := <<"hi\n">>}},
                      Eval("print('hi')", #{output => capture}))
     end || Eval <- Evals],
    [?assertMatch({ok, #{stdout := <<"hi\n">>, stderr := <<>>}},
                  Exec("print('hi')", #{output => capture})) || Exec <- Execs].

of_references(_) ->
    {ok, Ref} = py:call(ctx(), builtins, list, [[3, 1, 2]], #{return => ref}),
    Forms = [fun(O) -> py:call_method(Ref, copy, [], O) end,
             fun(O) -> py_context:call_method(ctx(), Ref, copy, [], O) end,
             fun(O) -> py:getattr(Ref, '__class__', O) end,
             fun(O) -> py_context:getattr(ctx(), Ref, '__class__', O) end],
    [?assertEqual({error, {invalid, Key, Value}}, Form(#{Key => Value}))
     || Form <- Forms, {Key, Value} <- bad()],
    [?assertEqual({error, {invalid, timeout, Bad}}, Form(Bad))
     || Form <- Forms, Bad <- [-1, 16#100000000]],
    [begin
         {ok, Other} = Form(#{return => ref}),
         ?assert(py:is_ref(Other))
     end || Form <- Forms],
    ?assertEqual({error, {invalid, kwargs, #{a => 1}}},
                 py:getattr(Ref, '__class__', #{kwargs => #{a => 1}})),
    ?assertEqual({ok, none}, py:call_method(Ref, sort, [], #{kwargs => #{reverse => true}})),
    ?assertEqual({ok, [3, 2, 1]}, py:call_method(Ref, copy, [], #{timeout => 5000})),
    ?assertMatch({error, #{type := <<"AttributeError">>}},
                 py:getattr(Ref, nothing, #{errors => map})),
    ?assertMatch({error, #{type := <<"IndexError">>}},
                 py:call_method(Ref, pop, [7], #{errors => map})).

%% Those that only a stream has.
of_streams(_) ->
    Start = fun(Options) -> py:stream_start(ctx(), builtins, range, [3], Options) end,
    [?assertEqual({error, {invalid, Key, Value}}, Start(#{Key => Value}))
     || {Key, Value} <- [{owner, x}, {window, 0}, {window, x}, {batch, 0}, {batch, x}]],
    ?assertEqual({ok, [0, 1, 2]}, started(fun() -> Start(#{owner => self(), window => 1,
                                                           batch => 1}) end)).

of_casts(_) ->
    [?assertEqual({error, {invalid, reply, 1}},
                  done(py:M(ctx(), '__main__', kw, [], #{reply => 1})))
     || M <- [cast, spawn_call]],
    [?assertEqual({ok, {1, 2}}, done(py:M(ctx(), '__main__', kw, [], #{reply => true})))
     || M <- [cast, spawn_call]].
