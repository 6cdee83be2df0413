%% SPDX-License-Identifier: Apache-2.0
%% @doc WSGI applications, through real contexts.  What they may do is tested
%% without a VM, in test/py/test_wsgi.py.
-module(py_wsgi_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(CODE,
        "import os, sys, time, threading\n"
        "from wsgiref.validate import validator\n"
        "log = []\n"
        "def echo(environ, start_response):\n"
        "    headers = [(k[5:], v) for k, v in sorted(environ.items()) if k[:5] == 'HTTP_']\n"
        "    start_response('201 Created', headers)\n"
        "    return [environ['wsgi.input'].read()]\n"
        "def show(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [repr(environ).encode()]\n"
        "@validator\n"
        "def valid(environ, start_response):\n"
        "    body = environ['wsgi.input'].read(100)\n"
        "    print('said', file=environ['wsgi.errors'])\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [body, environ['PATH_INFO'].encode('latin-1')]\n"
        "class Closes:\n"
        "    def __init__(self, then): self.then = then\n"
        "    def __iter__(self):\n"
        "        log.append('begun')\n"
        "        yield b'a'\n"
        "        self.then()\n"
        "    def close(self): log.append('closed')\n"
        "def fails(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return Closes(lambda: 1 / 0)\n"
        "def sleeps(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return Closes(lambda: time.sleep(3600))\n"
        "def floods(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return iter(lambda: b'x' * 9999, b'')\n"
        "def says(environ, start_response):\n"
        "    start_response(environ['STATUS'], [(environ['NAME'], 'x')])\n"
        "    return []\n"
        "def dies(environ, start_response): os.abort()\n"
        "def pid(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(os.getpid()).encode()]\n"
        "def run_wsgi(module, name, environ):\n"
        "    body = environ['PATH_INFO'].encode('latin-1') + environ['wsgi.input'].read()\n"
        "    return {'status': '202 Accepted', 'headers': {module: name}, 'body': body}\n").

suite() -> [{timetrap, {minutes, 2}}].

all() ->
    [responses, environs, bad_environs, large_body, validated, errors, bad_responses, closed,
     timeout, caller_dies, larger_than_a_frame, helper_dies, routing, options, runner,
     many_callers].

init_per_testcase(_, Config) ->
    ok = py_ct:start([{contexts, 1}]),
    C = py:context(1),
    ok = py:exec(C, ?CODE),
    [{context, C} | Config].

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()),
    py_ct:stop().

context(Config) -> proplists:get_value(context, Config).

run(C, App, Environ) -> py_wsgi:run('__main__', App, Environ, #{context => C}).

responses(Config) ->
    C = context(Config),
    ?assertEqual({ok, {201, [], <<"body">>}}, run(C, echo, #{'wsgi.input' => <<"body">>})),
    ?assertEqual({ok, {201, [], <<>>}}, py_wsgi:run("__main__", <<"echo">>, #{})),
    ?assertEqual({ok, {201, [], <<>>}}, py_wsgi:run('__main__', echo, #{}, 5000)),
    ?assertEqual({ok, {201, [], <<255, 0>>}}, run(C, echo, #{"wsgi.input" => [<<255>>, 0]})),
    Bytes = list_to_binary(lists:seq(1, 255) -- "\r\n"),
    ?assertEqual({ok, {201, [{<<"A">>, <<"1">>}, {<<"B">>, Bytes}, {<<"C">>, <<"ä"/utf8>>}], <<>>}},
                 run(C, echo, #{'HTTP_A' => 1, <<"HTTP_B">> => Bytes, "HTTP_C" => "ä"})).

environs(Config) ->
    C = context(Config),
    Show = fun(Environ) -> {ok, {200, [], Body}} = run(C, show, Environ), Body end,
    Has = fun(Environ, Text) -> ?assertNotEqual(nomatch, string:find(Show(Environ), Text)) end,
    Has(#{'PATH_INFO' => <<"/ä"/utf8>>}, <<"'PATH_INFO': '/Ã¤'"/utf8>>),
    Has(#{'PATH_INFO' => <<"/", 228>>}, <<"'PATH_INFO': '/ä'"/utf8>>),
    Has(#{'SERVER_PORT' => 8080}, <<"'SERVER_PORT': '8080'">>),
    Has(#{'REQUEST_METHOD' => 'POST'}, <<"'REQUEST_METHOD': 'POST'">>),
    Has(#{'wsgi.url_scheme' => https}, <<"'wsgi.url_scheme': 'https'">>),
    Has(#{'wsgi.input' => <<"12345">>}, <<"'CONTENT_LENGTH': '5'">>),
    Has(#{'my.key' => {1, 2}}, <<"'my.key': (1, 2)">>),
    Has(#{'wsgi.multithread' => true}, <<"'wsgi.multithread': False">>).

bad_environs(Config) ->
    C = context(Config),
    [?assertEqual({error, {invalid, Key, Value}}, run(C, echo, #{Key => Value}))
     || {Key, Value} <- [{'PATH_INFO', {}}, {<<"HTTP_A">>, 1.0}, {'wsgi.input', 7},
                         {'wsgi.url_scheme', 7}]],
    ?assertEqual({error, {invalid, environ, 7}}, run(C, echo, #{7 => <<"x">>})),
    ?assertEqual({error, {invalid, environ, []}}, run(C, echo, [])).

large_body(Config) ->
    C = context(Config),
    [?assert(run(C, echo, #{'wsgi.input' => Body}) =:= {ok, {201, [], Body}})
     || Body <- [rand:bytes(5 bsl 20), binary:copy(<<"0123456789abcdef">>, 5 bsl 16)]].

%% The standard library's checker of servers and applications.
validated(Config) ->
    C = context(Config),
    Environ = #{'REQUEST_METHOD' => <<"POST">>, 'PATH_INFO' => <<"/ä"/utf8>>,
                'QUERY_STRING' => <<"a=b">>, 'HTTP_HOST' => <<"example.org">>,
                'SERVER_PORT' => 8080, 'CONTENT_TYPE' => <<"text/plain">>,
                'wsgi.input' => <<"body">>},
    Body = <<"body/ä"/utf8>>,
    ?assertEqual({ok, {200, [{<<"Content-Type">>, <<"text/plain">>}], Body}},
                 run(C, valid, Environ)),
    ?assertMatch({ok, {200, _, <<"/">>}}, run(C, valid, #{})),
    {ok, Demo} = py_context:new(#{}),
    ok = py:exec(Demo, "from wsgiref import simple_server, validate\n"
                       "app = validate.validator(simple_server.demo_app)\n"),
    ?assertMatch({ok, {200, _, <<"Hello world!\n", _/binary>>}}, run(Demo, app, Environ)),
    ok = py_context:stop(Demo).

errors(Config) ->
    C = context(Config),
    ?assertMatch({error, {"AttributeError", _}}, run(C, missing, #{})),
    ?assertEqual({error, {"TypeError",
                          "__main__.log is no application: list is not callable"}},
                 run(C, log, #{})),
    ?assertEqual({error, {invalid, module, 7}}, py_wsgi:run(7, app, #{})),
    {error, Story} = py_wsgi:run('__main__', fails, #{}, #{context => C, errors => map}),
    ?assertMatch(#{type := <<"ZeroDivisionError">>}, Story).

bad_responses(Config) ->
    C = context(Config),
    Say = fun(Status, Name) -> run(C, says, #{'STATUS' => Status, 'NAME' => Name}) end,
    ?assertEqual({ok, {299, [{<<"a">>, <<"x">>}], <<>>}}, Say("299 ", "a")),
    ?assertEqual({error, {"ValueError", "a status is three digits, a space and a reason: 'OK'"}},
                 Say("OK", "a")),
    ?assertEqual({error, {"ValueError",
                          "header 'Connection' is for the server to send (hop by hop)"}},
                 Say("200 OK", "Connection")).

closed(Config) ->
    C = context(Config),
    ?assertMatch({error, {"ZeroDivisionError", _}}, run(C, fails, #{})),
    ?assertEqual({ok, [<<"begun">>, <<"closed">>]}, py:eval(C, "log")).

timeout(Config) ->
    C = context(Config),
    too_long(C, 100),
    ?assertEqual({ok, [<<"begun">>, <<"closed">>]}, py:eval(C, "log")).

%% The time is up when the application has begun.
too_long(C, Timeout) ->
    ok = py:exec(C, "log.clear()"),
    ?assertEqual({error, timeout},
                 py_wsgi:run('__main__', sleeps, #{}, #{context => C, timeout => Timeout})),
    case py:eval(C, "'begun' in log") of
        {ok, true} -> ok;
        {ok, false} -> too_long(C, 2 * Timeout)
    end.

caller_dies(Config) ->
    C = context(Config),
    {Pid, Mon} = spawn_monitor(fun() -> run(C, sleeps, #{}) end),
    py_ct:eventually(fun() ->
                             {ok, Text} = py:backtrace(C),
                             string:find(Text, "__iter__") =/= nomatch
                     end),
    exit(Pid, kill),
    receive {'DOWN', Mon, process, _, _} -> ok end,
    ?assertEqual({ok, <<"closed">>}, py:eval(C, "log[-1]")).

larger_than_a_frame(_) ->
    {ok, C} = py_context:new(#{max_frame => 100000}),
    ok = py:exec(C, ?CODE),
    ?assertEqual({error, {"EncodeError", "the response is larger than max_frame, 100000 bytes"}},
                 run(C, floods, #{})),
    ?assertMatch({error, {too_large, _, 100000}},
                 run(C, echo, #{'wsgi.input' => binary:copy(<<0>>, 200000)})),
    ok = py_context:stop(C).

helper_dies(Config) ->
    C = context(Config),
    ?assertMatch({error, {crashed, #{signal := sigabrt}}}, run(C, dies, #{})),
    ok = py:exec(C, ?CODE),
    ?assertMatch({ok, {201, _, _}}, run(C, echo, #{})).

routing(Config) ->
    Default = pid_of(run(context(Config), pid, #{})),
    {ok, [C]} = py_context_router:start_pool(web, 1),
    ok = py:exec(C, ?CODE),
    ok = py:register_pool(web, '__main__'),
    Routed = pid_of(py_wsgi:run('__main__', pid, #{})),
    ?assertEqual(pid_of(run(C, pid, #{})), Routed),
    ?assertNotEqual(Default, Routed),
    ok = py:unregister_pool('__main__'),
    ?assertEqual(Default, pid_of(py_wsgi:run('__main__', pid, #{}))),
    ?assertEqual(Routed, pid_of(py_wsgi:run('__main__', pid, #{}, #{pool => web}))),
    ok = py_context_router:stop_pool(web).

pid_of({ok, {200, [], Body}}) -> binary_to_integer(Body).

options(_) ->
    Run = fun(Options) -> py_wsgi:run('__main__', echo, #{}, Options) end,
    ?assertMatch({ok, _}, Run(#{pool => default, timeout => 5000})),
    [?assertEqual({error, {invalid, Key, Value}}, Run(#{Key => Value}))
     || {Key, Value} <- [{timeout, -1}, {context, x}, {runner, {}}, {return, ref}]],
    ?assertEqual({error, {invalid, timeout, -1}}, Run(-1)),
    ?assertEqual({error, {invalid, options, []}}, Run([])).

runner(Config) ->
    C = context(Config),
    Environ = #{'PATH_INFO' => <<"/x/">>, 'wsgi.input' => <<"body">>},
    Run = fun(Runner) ->
                  py_wsgi:run(my_module, my_app, Environ, #{context => C, runner => Runner})
          end,
    ?assertEqual({ok, {202, [{<<"my_module">>, <<"my_app">>}], <<"/x/body">>}}, Run('__main__')),
    ?assertMatch({error, {"AttributeError", _}}, Run(math)).

%% One after the other, and each gets its own.
many_callers(Config) ->
    C = context(Config),
    Results = py_ct:parallel(100, fun(I) ->
                                          Body = integer_to_binary(I),
                                          [run(C, echo, #{'wsgi.input' => Body})
                                           || _ <- lists:seq(1, 10)]
                                  end),
    ?assertEqual([lists:duplicate(10, {ok, {201, [], integer_to_binary(I)}})
                  || I <- lists:seq(1, 100)], Results).
